/*
 * Messages from this page: in the store at once, sent until the server acknowledges them, over however many
 * connections and lives of the page that takes. The id makes repeated sends one message.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;

  // What travels is plain: addresses as text, no functions, no bytes.
  function plain(attributes) {
    const frame = {};
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || typeof value === 'function') continue;
      if (name === 'mediaData' || name === 'mediaBlob') continue;
      if (Array.isArray(value)) frame[name] = value.map(String);
      else if (typeof value !== 'object') frame[name] = value;
      else if (value._serialized || value.$1) frame[name] = String(value);
    }
    return frame;
  }

  define('StandInOutgoing', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    const keeping = require('StandInKeeping');
    const link = require('StandInLink');

    async function send(message) {
      const attributes = plain(message.attributes);
      const { t } = await link.request({ type: 'message', id: message.id.id, message: attributes });
      message.set({ ack: 1, t });
      keep(message);
      return { messageSendResult: 'OK', t, count: null };
    }

    function keep(message) {
      const { id, from, to, type, body, caption, t, ack, author, directPath, filehash, mimetype, size } = message;
      const media = directPath ? { directPath, filehash, mimetype, size } : null;
      const chat = String(to);
      keeping.keep(String(id), {
        id: id.id, chat, author: String(id.participant || author || from), fromMe: true, type, body, caption, t, ack, media,
        order: message.standInOrder,
      });
    }

    exports.addAndSend = (chat, attributes) => {
      // A tick later: wa-js waits for the message on the chat only after it called this.
      const added = Promise.resolve().then(() => {
        const [message] = MsgCollection.add({ ...attributes, standInOrder: Date.now() * 1000 });
        chat.msgs.add(message);
        chat.set({ t: message.t, lastReceivedKey: message.id });
        keep(message);
        return message;
      });
      return [added, added.then(send)];
    };

    /** What an earlier life of the page could not get through. */
    exports.resendUnsent = () => {
      MsgCollection.filter((message) => message.id.fromMe && message.ack === 0 && !message.isNewMsg).forEach(send);
    };

    /** Somebody received or read a message of ours. */
    exports.receipt = ({ id, to, ack }) => {
      const { createWid } = require('WAWebWidFactory');
      const receipts = require('WAWebHandleMsgReceipts');
      const from = createWid(to);
      const handle = from.isGroup() ? receipts.handleGroupSimpleReceipt : receipts.handleChatSimpleReceipt;
      handle({ type: 'receipt', externalIds: [id], from, participant: null, recipient: null, ack, ackString: null });
    };
  });

  define('WAWebSendMsgChatAction', (exports, require) => {
    exports.addAndSendMsgToChat = (chat, attributes) => require('StandInOutgoing').addAndSend(chat, attributes);
  });

  define('WAWebHandleMsgReceipts', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    async function apply({ externalIds, ack }) {
      MsgCollection.filter((message) => message.id.fromMe && externalIds.includes(message.id.id))
        .forEach((message) => message.updateAck(ack));
    }
    Object.assign(exports, {
      handleChatSimpleReceipt: (receipt) => apply(receipt),
      handleGroupSimpleReceipt: (receipt) => apply(receipt),
      handleStatusSimpleReceipt: (receipt) => apply(receipt),
    });
  });
})();
