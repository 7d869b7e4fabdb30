/* Who received, read and played what this page sent. In a group a message is as far as its slowest reader. */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const STRINGS = { 2: null, 3: 'read', 4: 'played' };

  define('StandInReceipts', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { MsgCollection } = require('WAWebMsgCollection');
    const keeping = require('StandInKeeping');

    /** One receipt of the server, through the function that wa-js listens at. */
    exports.receive = ({ key, message, to, by, ack, t }) => {
      const receipts = require('WAWebHandleMsgReceipts');
      const from = createWid(to);
      const handle = from.isGroup() ? receipts.handleGroupSimpleReceipt
        : from.isStatus() ? receipts.handleStatusSimpleReceipt : receipts.handleChatSimpleReceipt;
      const [, , id] = message.split('_');
      handle({
        type: 'receipt', stanzaId: key, externalIds: [id], from, participant: by ? createWid(by) : null, recipient: null,
        ts: t, ack, ackString: STRINGS[ack] ?? null, offline: null,
      });
      apply(message, from, by, ack);
      keeping.acknowledge(key);
    };

    // A message that is not loaded changes, too, where it is kept.
    function apply(key, chat, by, ack) {
      const message = MsgCollection.get(key);
      const others = chat.isGroup() ? othersIn(chat) : 1;
      const change = (kept) => {
        const receipts = { ...kept.receipts, [by || String(chat)]: Math.max(ack, kept.receipts?.[by || String(chat)] || 0) };
        return { ...kept, receipts, ack: Math.max(kept.ack || 0, reached(receipts, others)) };
      };
      if (message) {
        const { receipts, ack: now } = change({ receipts: message.standInReceipts, ack: message.ack });
        message.set({ standInReceipts: receipts });
        message.updateAck(now);
      }
      keeping.change(key, change);
    }

    function othersIn(chat) {
      const { isMeAccount } = require('WAWebUserPrefsMeUser');
      const group = require('WAWebGroupMetadataCollection').get(chat);
      return group ? group.participants.filter((one) => !isMeAccount(one.id)).length : 1;
    }

    function reached(receipts, others) {
      const acks = Object.values(receipts);
      return acks.length < others ? 1 : Math.min(...acks);
    }
  });

  // What is behind them is done above, where the whole key is known: these are where wa-js hears of it.
  define('WAWebHandleMsgReceipts', (exports) => Object.assign(exports, {
    handleChatSimpleReceipt: async () => {},
    handleGroupSimpleReceipt: async () => {},
    handleStatusSimpleReceipt: async () => {},
  }));
})();
