/*
 * Messages from the server: into the store at once, into IndexedDB soon, acknowledged to the server after that.
 * A page that dies in between gets them again in its next life.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const KEEP_AFTER_MS = 100;

  define('StandInIncoming', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { MsgCollection } = require('WAWebMsgCollection');
    const { MediaData } = require('WAWebMediaDataModel');
    const MsgKey = require('WAWebMsgKey');
    const credentials = require('StandInCredentials');
    const link = require('StandInLink');
    const storage = require('StandInStorage');

    const toKeep = new Map();
    let keeping = null;
    let stopped = false;

    exports.receive = (frame) => take(frame, true);

    /** Messages of before this device was linked: in the store, but no news. */
    exports.receiveHistory = (frames) => frames.forEach((frame) => take(frame, false));

    /** Puts what earlier lives of the page kept back into the store. */
    exports.restore = async () => {
      const frames = await storage.messages.getAll();
      frames.sort((one, other) => one.t - other.t);
      frames.forEach((frame) => add(frame, false));
    };

    /** Keeps a message as the server's frame would; for messages of our own. */
    exports.keep = (key, frame) => {
      toKeep.set(key, frame);
      if (!keeping && !stopped) keeping = setTimeout(write, KEEP_AFTER_MS);
    };

    exports.stop = async () => {
      stopped = true;
      clearTimeout(keeping);
    };

    function take(frame, isNews) {
      exports.keep(add(frame, isNews), frame);
    }

    // The hot path ends with the store: writing and acknowledging are for many messages at once.
    async function write() {
      const entries = [...toKeep];
      toKeep.clear();
      await storage.messages.putAll(entries);
      link.send({ type: 'received', keys: entries.map(([key]) => key) });
      keeping = toKeep.size && !stopped ? setTimeout(write, KEEP_AFTER_MS) : null;
    }

    function add(frame, isNewMsg) {
      const attributes = toAttributes(frame, isNewMsg);
      MsgCollection.processMultipleMessages(attributes.id.remote, [attributes]);
      return String(attributes.id);
    }

    function toAttributes(frame, isNewMsg) {
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
      };
      if (attributes.quotedParticipant) attributes.quotedParticipant = createWid(attributes.quotedParticipant);
      if (frame.media) addMedia(attributes, frame);
      return attributes;
    }

    function addMedia(attributes, { type, media }) {
      const { mediaKey, ...described } = media;
      Object.assign(attributes, described, { mediaKey });
      attributes.mediaData = new MediaData({ ...described, type, mediaStage: 'NEED_POKE', mediaBlob: null });
    }
  });
})();
