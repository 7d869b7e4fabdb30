/* From what travels and is kept (a frame) to what the message model holds (attributes). */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('StandInAttributes', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { MediaData } = require('WAWebMediaDataModel');
    const MsgKey = require('WAWebMsgKey');
    const credentials = require('StandInCredentials');

    exports.toAttributes = (frame, isNewMsg) => {
      const chat = createWid(frame.chat);
      const author = createWid(frame.author);
      const me = createWid(credentials.me.phone);
      const attributes = {
        ...frame.attributes,
        id: new MsgKey({
          fromMe: frame.fromMe,
          remote: chat,
          id: frame.id,
          participant: chat.isGroup() ? author : undefined,
        }),
        type: frame.type,
        body: frame.body,
        caption: frame.caption,
        t: frame.t,
        from: frame.fromMe ? me : chat,
        to: frame.fromMe ? chat : me,
        author: chat.isGroup() ? author : undefined,
        notifyName: frame.notifyName,
        self: frame.fromMe ? 'out' : 'in',
        ack: frame.ack === undefined ? 1 : frame.ack,
        isNewMsg,
        local: false,
        standInOrder: frame.order,
        standInReceipts: frame.receipts,
      };
      if (attributes.mentionedJidList) attributes.mentionedJidList = attributes.mentionedJidList.map(createWid);
      if (attributes.quotedParticipant) attributes.quotedParticipant = createWid(attributes.quotedParticipant);
      if (frame.media) addMedia(attributes, frame);
      return attributes;
    };

    function addMedia(attributes, { type, media }) {
      const { mediaKey, ...described } = media;
      Object.assign(attributes, described, { mediaKey });
      attributes.mediaData = new MediaData({ ...described, type, mediaStage: 'NEED_POKE', mediaBlob: null });
    }
  });
})();
