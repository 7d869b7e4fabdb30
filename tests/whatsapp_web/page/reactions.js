/*
 * Reactions: one of each person to a message, an empty one takes it back. They are kept with the message, so that
 * they come back with it; a reaction to a message that is not here is lost.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebReactionsCollection', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { BaseCollection } = require('WAWebBaseCollection');
    const collectionOf = (proxyName) => {
      class One extends BaseModel {}
      One.prototype.proxyName = proxyName;
      return class extends BaseCollection {
        static model = One;
      };
    };
    const Senders = collectionOf('reactions-senders');
    const AggregatedReactions = collectionOf('agg-reactions');

    class ReactionsCollectionImpl extends collectionOf('reactions') {
      /** Takes over who reacted how to a message: {sender: {id, text, t}}, as it is kept. */
      show(key, reactions) {
        const { isMeAccount } = require('WAWebUserPrefsMeUser');
        const { createWid } = require('WAWebWidFactory');
        const aggregated = new AggregatedReactions();
        let reactionByMe;
        for (const [senderUserJid, { id, text, t }] of Object.entries(reactions)) {
          const sender = {
            id, msgKey: id, parentMsgKey: key, reactionText: text, timestamp: t, senderUserJid, read: false, orphan: 0,
          };
          const mine = isMeAccount(createWid(senderUserJid));
          const empty = { id: text, aggregateEmoji: text, hasReactionByMe: false, senders: new Senders() };
          const [emoji] = aggregated.get(text) ? [aggregated.get(text)] : aggregated.add(empty);
          emoji.senders.add(sender);
          if (mine) emoji.set({ hasReactionByMe: true });
          if (mine) reactionByMe = emoji.senders.get(id);
        }
        this.add({ id: key, reactions: aggregated, reactionByMe }, { merge: true });
      }
      async find(key) {
        let row, seen;
        while (!this.get(key) && seen !== this.forgotten) {
          seen = this.forgotten;
          await require('StandInKeeping').flush();
          row = await require('StandInEarlier').row(key);
        }
        if (!this.get(key)) this.show(String(key), (row && row.msgRowOpaqueData.reactions) || {});
        return this.get(key);
      }
      /** Of a message that is not loaded: who reacted is on its way into IndexedDB. */
      forget(key) {
        this.forgotten += 1; // also for whoever is reading just now
        this.remove(key);
      }
      forgotten = 0;
    }
    exports.ReactionsCollection = new ReactionsCollectionImpl();
  });

  define('WAWebReactionsMsgAction', (exports) => {
    // wa-js listens here: one at a time with a truthy second argument, or a list of those of now.
    exports.addOrUpdateReactionsModelCollection = () => undefined;
  });

  define('WAWebDBReactions', (exports, require) => {
    exports.getReactions = async (key) => {
      const { ReactionsCollection } = require('WAWebReactionsCollection');
      const { reactions, reactionByMe } = await ReactionsCollection.find(String(key));
      return {
        reactionByMe,
        reactions: reactions.map(({ aggregateEmoji, hasReactionByMe, senders }) => ({
          aggregateEmoji, hasReactionByMe, senders: senders.map((sender) => sender.attributes),
        })),
      };
    };
  });

  define('StandInReactions', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    const MsgKey = require('WAWebMsgKey');
    const keeping = require('StandInKeeping');
    const { createWid } = require('WAWebWidFactory');

    /** Somebody reacted to a message: `id` is the reaction's own key, an empty `text` takes it back. */
    exports.apply = ({ id, parent, author, text, t }) => {
      const { ReactionsCollection } = require('WAWebReactionsCollection');
      const change = (kept) => {
        const { [author]: _, ...others } = kept.reactions || {};
        return { ...kept, reactions: text ? { ...others, [author]: { id, text, t } } : others };
      };
      const message = MsgCollection.get(parent);
      if (message) {
        const { reactions } = change({ reactions: message.standInReactions });
        message.set({ standInReactions: reactions, hasReaction: Object.keys(reactions).length > 0 });
        ReactionsCollection.show(parent, reactions);
      } else {
        ReactionsCollection.forget(parent);
      }
      keeping.change(parent, change);
    };

    exports.receive = (frame) => {
      const { key, id, parent, author, text, t } = frame;
      require('WAWebReactionsMsgAction').addOrUpdateReactionsModelCollection(
        { msgKey: id, parentMsgKey: parent, reactionText: text, senderUserJid: author, t, timestamp: t, read: false, orphan: 0 },
        true,
      );
      // whatsapp-web.js listens here.
      require('WAWebAddonReactionTableMode').reactionTableMode.bulkUpsert([{
        id: MsgKey.fromString(id), reactionParentKey: MsgKey.fromString(parent), reactionText: text,
        reactionTimestamp: t * 1000, author: createWid(author), from: createWid(author), read: false, orphan: 0,
      }]);
      exports.apply(frame);
      keeping.acknowledge(key);
    };
  });

  define('WAWebSendReactionMsgAction', (exports, require) => {
    exports.sendReactionToMsg = async (message, reactionText) => {
      const MsgKey = require('WAWebMsgKey');
      const { getMaybeMePnUser, getMaybeMeLidUser } = require('WAWebUserPrefsMeUser');
      const to = message.id.remote;
      const from = to.isGroup() ? getMaybeMeLidUser() : getMaybeMePnUser();
      const participant = to.isGroup() ? from : undefined;
      const id = new MsgKey({ from, to, id: await MsgKey.newId(), participant, selfDir: 'out' });
      const parent = String(message.id);
      const t = Math.floor(Date.now() / 1000);
      const reaction = { id: String(id), type: 'reaction', from: String(from), to: String(to), reactionText, t,
        reactionParentKey: parent };
      const { error } = await require('StandInLink').request({ type: 'message', id: id.id, message: reaction });
      if (error !== undefined) return 'ERROR_UNKNOWN';
      require('StandInReactions').apply({ id: String(id), parent, author: String(from), text: reactionText, t });
      return 'OK';
    };
  });
})();
