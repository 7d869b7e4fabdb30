/* The message model and the store of all messages that are loaded. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebMsgModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const NOTIFICATIONS = new Set(['gp2', 'notification', 'notification_template', 'e2e_notification']);
    class Msg extends BaseModel {
      get isNotification() {
        return NOTIFICATIONS.has(this.type);
      }
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
      /** It rises; a message that nobody has can fail. */
      updateAck(ack) {
        if (ack > this.ack || (ack < 0 && this.ack <= 0)) this.ack = ack;
      }
      msgContextInfo() {
        return { quotedMsg: this, quotedStanzaID: this.id.id, quotedParticipant: this.author || this.from };
      }
      downloadMedia(how) {
        return require('StandInMedia').download(this, how);
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
          if (attributes.type === 'protocol') return require('StandInChanges').revoke(attributes);
          const known = this.get(attributes.id);
          if (known) return known;
          const [message] = this.add(attributes);
          chat.msgs.add(message);
          const unread = attributes.isNewMsg && !message.id.fromMe && !message.isNotification ? 1 : 0;
          const news = { unreadCount: chat.unreadCount + unread };
          if (message.t >= chat.t) Object.assign(news, { t: message.t, lastReceivedKey: message.id });
          chat.set(news);
          return message;
        });
      }
      async getMessagesById(ids) {
        const { row, loaded } = require('StandInEarlier');
        const rows = await Promise.all(ids.map((id) => this.get(id) || row(id)));
        return { messages: rows.filter(Boolean).map((found) => this.get(found.id) || loaded(found)) };
      }
    }
    MsgCollectionImpl.model = require('WAWebMsgModel').Msg;
    exports.MsgCollection = new MsgCollectionImpl(); // newer builds export only the instance
  });

  define('WAWebMsgReply', (exports) => {
    exports.canReplyMsg = () => true;
  });
  define('WAWebMsgQuotedGetters', (exports, require) => {
    exports.getQuotedMsgObj = (message) =>
      require('WAWebMsgCollection').MsgCollection.findFirst((one) => one.id.id === message.quotedStanzaID);
  });
})();
