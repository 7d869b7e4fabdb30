/* From what travels and is kept (a frame) to what the message model holds (attributes). */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('StandInAttributes', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { MediaData } = require('WAWebMediaDataModel');
    const MsgKey = require('WAWebMsgKey');
    const credentials = require('StandInCredentials');

    // What travels as text and is an address or a key in the model.
    const wid = (text) => createWid(text);
    const wids = (texts) => texts.map(wid);
    const key = (text) => MsgKey.fromString(text);
    const TYPES = {
      quotedParticipant: wid, revokeSender: wid, mentionedJidList: wids, recipients: wids,
      parentMsgKey: key, protocolMessageKey: key, latestEditMsgKey: key,
    };

    function typed(attributes) {
      const result = { ...attributes };
      for (const name in result) if (TYPES[name]) result[name] = TYPES[name](result[name]);
      return result;
    }

    exports.toAttributes = (frame, isNewMsg) => {
      const chat = createWid(frame.chat);
      const author = createWid(frame.author);
      const me = createWid(credentials.me.phone);
      const hasAuthor = chat.isGroup() || chat.isStatus();
      const attributes = {
        ...typed(frame.attributes),
        id: new MsgKey({
          fromMe: frame.fromMe,
          remote: chat,
          id: frame.id,
          participant: hasAuthor ? author : undefined,
        }),
        type: frame.type,
        body: frame.body,
        caption: frame.caption,
        t: frame.t,
        from: frame.fromMe ? me : chat,
        to: frame.fromMe ? chat : me,
        author: hasAuthor ? author : undefined,
        notifyName: frame.notifyName,
        self: frame.fromMe ? 'out' : 'in',
        ack: frame.ack === undefined ? 1 : frame.ack,
        isNewMsg,
        local: false,
        standInOrder: frame.order,
      };
      if (frame.receipts) attributes.standInReceipts = frame.receipts;
      if (frame.reactions) addReactions(attributes, frame.reactions);
      if (frame.media) addMedia(attributes, frame);
      return attributes;
    };

    function addReactions(attributes, reactions) {
      attributes.standInReactions = reactions;
      attributes.hasReaction = Object.keys(reactions).length > 0;
    }

    function addMedia(attributes, { type, media }) {
      const { mediaKey, ...described } = media;
      Object.assign(attributes, described, { mediaKey });
      attributes.mediaData = new MediaData({ ...described, type, mediaStage: 'NEED_POKE', mediaBlob: null });
    }
  });
})();
