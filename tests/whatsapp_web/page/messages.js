/* The message model, the store of all messages, and the search for earlier ones. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebMsgModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    class Msg extends BaseModel {
      get mediaObject() {
        const { mediaData } = this;
        return mediaData ? { type: mediaData.type, filehash: mediaData.filehash, contentInfo: {} } : undefined;
      }
      get isStatusV3() {
        return Boolean(this.id && this.id.remote.isStatus());
      }
      get isEphemeral() {
        return Boolean(this.ephemeralDuration);
      }
      updateAck(ack) {
        this.ack = ack;
      }
      msgContextInfo() {
        return { quotedMsg: this, quotedStanzaID: this.id.id, quotedParticipant: this.author || this.from };
      }
      downloadMedia() {
        return require('StandInMedia').download(this);
      }
    }
    Msg.prototype.proxyName = 'msg';
    exports.Msg = Msg;
  });

  define('WAWebMsgCollection', (exports, require) => {
    const { BaseCollection } = require('WAWebBaseCollection');
    class MsgCollectionImpl extends BaseCollection {
      /** Adds messages to the store and to their chat; one that is here already stays one. */
      async processMultipleMessages(chatId, messages) {
        const chat = require('StandInChats').ensureChat(chatId);
        return messages.map((attributes) => {
          const known = this.get(attributes.id);
          if (known) return known;
          const [message] = this.add(attributes);
          chat.msgs.add(message);
          const unread = attributes.isNewMsg && !message.id.fromMe ? 1 : 0;
          chat.set({ t: message.t, lastReceivedKey: message.id, unreadCount: chat.unreadCount + unread });
          return message;
        });
      }
      async getMessagesById(ids) {
        return { messages: ids.map((id) => this.get(id)).filter(Boolean) };
      }
    }
    MsgCollectionImpl.model = require('WAWebMsgModel').Msg;
    exports.MsgCollection = new MsgCollectionImpl(); // newer builds export only the instance
  });

  define('WAWebDBMessageFindLocal', (exports, require) => {
    // Everything the page kept is in the store; the real one looks in its database.
    async function msgFindByDirection({ anchor, count, direction }) {
      const { msgs } = require('StandInChats').ensureChat(anchor.remote);
      const all = msgs.getModelsArray();
      const at = all.findIndex((message) => String(message.id) === String(anchor));
      if (at < 0) return { messages: [], status: 404 };
      const found = direction === 'after'
        ? all.slice(at + 1, at + 1 + count)
        : all.slice(Math.max(0, at - count), at);
      return { messages: found.map((message) => message.attributes), status: 200 };
    }
    Object.assign(exports, {
      msgFindByDirection,
      msgFindBefore: (params) => msgFindByDirection({ ...params, direction: 'before' }),
      msgFindAfter: (params) => msgFindByDirection({ ...params, direction: 'after' }),
    });
  });

  define('WAWebMsgReply', (exports) => {
    exports.canReplyMsg = () => true;
  });
  define('WAWebMsgQuotedGetters', (exports, require) => {
    exports.getQuotedMsgObj = (message) =>
      require('WAWebMsgCollection').MsgCollection.findFirst((one) => one.id.id === message.quotedStanzaID);
  });
  define('WAWebMsgSearchContext', (exports) => {
    // One parameter: wa-js counts them to tell this build from an older one.
    exports.getSearchContext = ({ chat, msgKey }) => ({ collection: chat.msgs, key: msgKey, highlightMsg: true });
  });
})();
