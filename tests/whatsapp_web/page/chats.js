/* Chats and the messages in each. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebChatMsgsCollection', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { BaseCollection } = require('WAWebBaseCollection');
    class MsgLoadState extends BaseModel {}
    class ChatMsgsCollection extends BaseCollection {
      static comparator = (one, other) => one.t - other.t || one.standInOrder - other.standInOrder;
      msgLoadState = new MsgLoadState({ noEarlierMsgs: false, isLoadingEarlierMsgs: false });
      loadAroundPromise = undefined;
    }
    ChatMsgsCollection.model = require('WAWebMsgModel').Msg;
    exports.ChatMsgsCollection = ChatMsgsCollection;
  });

  define('WAWebChatModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    class Chat extends BaseModel {
      get formattedTitle() {
        return this.name || this.id.user;
      }
      get presence() {
        return { subscribe: async () => {} };
      }
      get groupMetadata() {
        return this.id.isGroup() ? require('WAWebGroupMetadataCollection').get(this.id) : undefined;
      }
      serialize() {
        return { ...super.serialize(), msgs: this.msgs.map((message) => message.id) };
      }
    }
    Chat.prototype.proxyName = 'chat';
    exports.Chat = Chat;
  });

  define('WAWebChatCollection', (exports, require) => {
    const { BaseCollection } = require('WAWebBaseCollection');
    class ChatCollectionImpl extends BaseCollection {}
    ChatCollectionImpl.model = require('WAWebChatModel').Chat;
    Object.assign(exports, { ChatCollectionImpl, ChatCollection: new ChatCollectionImpl() });
  });

  define('WAWebNewsletterCollection', (exports, require) => {
    const { BaseCollection } = require('WAWebBaseCollection');
    class NewsletterCollectionImpl extends BaseCollection {}
    NewsletterCollectionImpl.model = require('WAWebChatModel').Chat;
    exports.default = new NewsletterCollectionImpl();
  });

  define('StandInChats', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { ChatCollection } = require('WAWebChatCollection');
    const { ChatMsgsCollection } = require('WAWebChatMsgsCollection');
    const statuses = new (require('WAWebNewsletterCollection').constructor)();

    /** The chat of an address; a new one is empty. */
    exports.ensureChat = (address) => {
      const id = createWid(address);
      // Channels and the statuses are in collections of their own.
      const chats = id.isNewsletter() ? require('WAWebNewsletterCollection') : id.isStatus() ? statuses : ChatCollection;
      return chats.get(id) || chats.add({
        id,
        name: undefined,
        t: 0,
        unreadCount: 0,
        archive: false,
        pin: undefined,
        active: false,
        isNewsletter: id.isNewsletter(),
        muteExpiration: 0,
        mute: { expiration: 0, isMuted: false },
        labels: [],
        lastReceivedKey: undefined,
        endOfHistoryTransferType: 0,
        msgs: new ChatMsgsCollection(),
      })[0];
    };
  });

  define('WAWebFindChatAction', (exports, require) => {
    exports.findOrCreateLatestChat = async (wid) => {
      const known = require('WAWebChatCollection').ChatCollection.get(wid);
      return { chat: known || require('StandInChats').ensureChat(wid), created: !known };
    };
  });
  define('WAWebUpdateUnreadChatAction', (exports) => Object.assign(exports, {
    sendSeen: async (given) => {
      const chat = given && given.chat ? given.chat : given;
      chat.unreadCount = 0;
    },
    markUnread: async (chat) => {
      chat.unreadCount = -1;
    },
  }));
  define('WAWebGetEphemeralFieldsMsgActionsUtils', (exports) => {
    exports.getEphemeralFields = () => ({});
  });
  define('WAWebCollections', (exports, require) => Object.assign(exports, {
    Msg: require('WAWebMsgCollection').MsgCollection,
    Chat: require('WAWebChatCollection').ChatCollection,
    Contact: require('WAWebContactCollection').ContactCollection,
    GroupMetadata: require('WAWebGroupMetadataCollection'),
  }));
})();
