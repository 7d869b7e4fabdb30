/* Messages from the server: into the store at once, into IndexedDB and acknowledged soon after. */
(function () {
  'use strict';
  const { define, options } = self.StandIn;

  define('StandInIncoming', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    const { toAttributes } = require('StandInAttributes');
    const keeping = require('StandInKeeping');

    exports.receive = (frame) => take(frame, true);

    /** Messages of before this device was linked: in the store, but no news. */
    exports.receiveHistory = (frames) => frames.forEach((frame) => take(frame, false));

    /** Puts what earlier lives of the page kept back into the store: all, or the latest of each chat and the unsent. */
    exports.restore = async () => {
      const rows = await keeping.load();
      (options.loaded_per_chat ? latest(rows, options.loaded_per_chat) : rows).forEach((row) => {
        const attributes = toAttributes(row.msgRowOpaqueData, false);
        MsgCollection.processMultipleMessages(attributes.id.remote, [attributes]);
      });
    };

    function latest(rows, count) {
      const seen = new Map();
      return rows.reverse().filter(({ chat, msgRowOpaqueData: { fromMe, ack } }) => {
        seen.set(chat, (seen.get(chat) || 0) + 1);
        return seen.get(chat) <= count || (fromMe && ack === 0);
      }).reverse();
    }

    // The hot path ends with the store: writing and acknowledging are for many messages at once.
    function take(frame, isNews) {
      const attributes = toAttributes(frame, isNews);
      const key = String(attributes.id);
      keeping.acknowledge(key);
      if (keeping.has(key)) return;
      MsgCollection.processMultipleMessages(attributes.id.remote, [attributes]);
      if (isNews && frame.type === 'gp2') require('StandInGroups').changed(attributes);
      keeping.keep(key, frame);
    }
  });
})();
