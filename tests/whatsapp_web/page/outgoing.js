/*
 * Messages from this page: in the store at once, sent until the server answers, over however many connections and
 * lives of the page that takes. The id makes repeated sends one message.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const LOCAL = new Set(['mediaData', 'mediaBlob', 'isNewMsg', 'local', 'standInOrder', 'standInReceipts', 'standInReactions',
    'quotedMsg']);

  // What travels is plain: addresses as text, no functions, no bytes.
  function plain(value) {
    if (value === null || typeof value !== 'object') return typeof value === 'function' ? undefined : value;
    if (value._serialized || value.$1) return String(value);
    if (Array.isArray(value)) return value.map(plain);
    if (Object.getPrototypeOf(value) !== Object.prototype) return undefined;
    return plainEntries(value);
  }

  function plainEntries(values) {
    const entries = Object.entries(values).filter(([name]) => !LOCAL.has(name)).map(([name, one]) => [name, plain(one)]);
    return Object.fromEntries(entries.filter(([, one]) => one !== undefined && one !== null));
  }

  define('StandInOutgoing', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    const { SendMsgResult } = require('WAWebSendMsgResultAction');
    const keeping = require('StandInKeeping');
    const link = require('StandInLink');

    exports.plain = plainEntries;

    /** Sends what is in the store; the answer is as wa-js hands it on. */
    exports.send = async (message) => {
      await keeping.flush(); // nothing is sent that the next life of the page would not know of
      const frame = { type: 'message', id: message.id.id, message: plainEntries(message.attributes) };
      const { t, error } = await link.request(frame);
      if (error !== undefined) return failed(message, SendMsgResult.ERROR_UNKNOWN);
      message.updateAck(1);
      message.set({ t });
      keeping.change(String(message.id), (kept) => ({ ...kept, t, ack: Math.max(kept.ack, 1) }));
      return { messageSendResult: SendMsgResult.OK, t, count: null };
    };

    function failed(message, messageSendResult) {
      message.updateAck(-1);
      keeping.change(String(message.id), (kept) => (kept.ack > 0 ? kept : { ...kept, ack: -1 }));
      return { messageSendResult, t: message.t, count: null };
    }

    function keep(message) {
      const { id, from, to, type, body, caption, t, ack, author, directPath, filehash, mimetype, size } = message;
      const media = filehash ? { directPath, filehash, mimetype, size } : null;
      keeping.keep(String(id), {
        id: id.id, chat: String(to), author: String(id.participant || author || from), fromMe: true, type, body, caption,
        t, ack, media, order: message.standInOrder, attributes: plainEntries(message.attributes),
      });
    }

    // The same id again is the same message, sent once more; whether it is loaded or not.
    async function inStore(chat, attributes) {
      const key = String(attributes.id);
      if (keeping.has(key) && !MsgCollection.get(key)) {
        const { row, loaded } = require('StandInEarlier');
        loaded(await row(key));
      }
      const again = Boolean(MsgCollection.get(key));
      const [message] = MsgCollection.add({ ...attributes, standInOrder: Date.now() * 1000 });
      if (again && message.ack < 0) message.set({ ack: 0 });
      chat.msgs.add(message);
      if (again) return message;
      chat.set({ t: message.t, lastReceivedKey: message.id });
      keep(message);
      return message;
    }

    /**
     * The two promises that the site answers with: of the message in the chat, and of the result. `upload` is what
     * has to be done before it can travel.
     */
    exports.addAndSend = (chat, attributes, upload = null) => {
      // A tick later: wa-js waits for the message on the chat only after it called this.
      const added = Promise.resolve().then(() => inStore(chat, attributes));
      const result = added.then(async (message) => {
        if (upload) {
          try {
            message.set(await upload());
          } catch (error) {
            console.warn(`upload failed: ${error.message}`);
            return failed(message, SendMsgResult.ERROR_UPLOAD);
          }
          const { directPath } = message;
          keeping.change(String(message.id), (kept) => ({ ...kept, media: { ...kept.media, directPath } }));
        }
        return exports.send(message);
      });
      return [added, result];
    };

    /** What an earlier life of the page could not get through; media that was not uploaded is gone with that life. */
    exports.resendUnsent = () => {
      const unsent = MsgCollection.filter((one) => one.id.fromMe && one.ack === 0 && !one.isNewMsg);
      for (const message of unsent) {
        if (message.mediaData && !message.directPath) failed(message, SendMsgResult.ERROR_UPLOAD);
        else exports.send(message);
      }
    };
  });

  define('WAWebSendMsgChatAction', (exports, require) => {
    exports.addAndSendMsgToChat = (chat, attributes) => require('StandInOutgoing').addAndSend(chat, attributes);
  });
})();
