/*
 * Earlier messages: those the page kept and has not loaded, and those that only the server (the phone, really) has.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const CHUNK = 50;
  const AROUND = 10;
  const HISTORY_SYNC_ON_DEMAND = 3;

  define('StandInEarlier', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    const { toAttributes } = require('StandInAttributes');
    const keeping = require('StandInKeeping');
    const storage = require('StandInStorage');

    const attributesOf = (row) => {
      const loaded = MsgCollection.get(row.id);
      return loaded ? loaded.attributes : toAttributes(row.msgRowOpaqueData, false);
    };
    /** The model of a row: in the store from now on, without being news. */
    exports.loaded = (row) => MsgCollection.get(row.id) || MsgCollection.add(toAttributes(row.msgRowOpaqueData, false))[0];

    exports.row = async (key) => {
      await keeping.flush();
      return storage.messages.get(String(key));
    };

    /** Rows next to one, that one included when it is there. */
    exports.around = async (key) => {
      const middle = await exports.row(key);
      if (!middle) return [];
      const before = await storage.messages.near(middle.chat, middle, 'before', AROUND);
      return [...before, middle, ...(await storage.messages.near(middle.chat, middle, 'after', AROUND))];
    };

    exports.find = async ({ anchor, count, direction }) => {
      const at = await exports.row(anchor);
      if (!at) return { messages: [], status: 404 };
      const rows = await storage.messages.near(at.chat, at, direction, count);
      return { messages: rows.map(attributesOf), status: 200 };
    };

    // --- into the chat

    const place = (message) => (message ? { t: message.t, order: message.standInOrder } : { t: Infinity, order: 0 });

    function add(chat, models) {
      chat.msgs.add(models);
      return models;
    }

    async function fromDisk(chat) {
      await keeping.flush();
      return storage.messages.near(String(chat.id), place(chat.msgs.head()), 'before', CHUNK);
    }

    async function fromServer(chat) {
      const oldest = chat.msgs.head();
      const args = { chat: String(chat.id), before: oldest ? place(oldest) : null, count: CHUNK };
      const { messages, more } = await require('StandInLink').query('earlier_messages', args);
      if (!more) {
        chat.msgs.msgLoadState.set({ noEarlierMsgs: true });
        chat.set({ endOfHistoryTransferType: 1 });
      }
      const all = messages.map((frame) => [frame, toAttributes(frame, false)]);
      for (const [frame, { id }] of all) if (!keeping.has(String(id))) keeping.keep(String(id), frame);
      await keeping.flush(); // nobody acknowledges these: what is shown is kept
      return all.map(([, attributes]) => MsgCollection.get(attributes.id) || MsgCollection.add(attributes)[0]);
    }

    const loading = new Map();

    /** Loads the messages before the oldest one in the chat; who asks meanwhile gets the same. */
    exports.load = (chat) => {
      if (!loading.has(chat)) loading.set(chat, load(chat).finally(() => loading.delete(chat)));
      return loading.get(chat);
    };

    async function load(chat) {
      const state = chat.msgs.msgLoadState;
      state.set({ isLoadingEarlierMsgs: true });
      try {
        const rows = await fromDisk(chat);
        if (rows.length) return add(chat, rows.map(exports.loaded));
        return state.noEarlierMsgs ? [] : add(chat, await fromServer(chat));
      } finally {
        state.set({ isLoadingEarlierMsgs: false });
      }
    }

    exports.loadFromServer = async (chat) => add(chat, await fromServer(chat));
  });

  define('WAWebDBMessageFindLocal', (exports, require) => {
    const msgFindByDirection = (params) => require('StandInEarlier').find(params);
    Object.assign(exports, {
      msgFindByDirection,
      msgFindBefore: (params) => msgFindByDirection({ ...params, direction: 'before' }),
      msgFindAfter: (params) => msgFindByDirection({ ...params, direction: 'after' }),
    });
  });

  define('WAWebChatLoadMessages', (exports, require) => {
    // Newer builds give {chat}, older ones the chat.
    exports.loadEarlierMsgs = (given) => require('StandInEarlier').load(given.chat || given);
  });

  // The phone is asked for what it has from before; the messages come by themselves, later.
  define('WAWebSendNonMessageDataRequest', (exports, require) => {
    exports.sendPeerDataOperationRequest = async (type, { chatId }) => {
      if (type !== HISTORY_SYNC_ON_DEMAND) return;
      require('StandInEarlier').loadFromServer(require('StandInChats').ensureChat(chatId));
    };
  });

  define('WAWebMsgSearchContext', (exports, require) => {
    // One parameter: wa-js counts them to tell this build from an older one.
    exports.getSearchContext = ({ chat, msgKey }) => {
      if (chat.msgs.get(msgKey)) return { collection: chat.msgs, key: msgKey, highlightMsg: true };
      const { ChatMsgsCollection } = require('WAWebChatMsgsCollection');
      const collection = new ChatMsgsCollection();
      const { around, loaded } = require('StandInEarlier');
      collection.loadAroundPromise = around(msgKey).then((rows) => collection.add(rows.map(loaded)));
      return { collection, key: msgKey, highlightMsg: true };
    };
  });
})();
