/*
 * Modules that wa-js wraps or listens to when it loads, and that nothing here is for. Without them it would log an
 * error for each, and without the collections lose their events.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;

  function functions(id, names, body = () => undefined) {
    define(id, (exports) => names.forEach((name) => {
      exports[name] = body;
    }));
  }

  // The instance only: where a class ...CollectionImpl is exported, too, wa-js takes that for the store.
  function collection(id, name, methods = {}) {
    define(id, (exports, require) => {
      const { BaseModel } = require('WAWebBaseModel');
      const { BaseCollection } = require('WAWebBaseCollection');
      class Impl extends BaseCollection {}
      Impl.model = class extends BaseModel {};
      Object.assign(Impl.prototype, methods);
      exports[name] = new Impl();
    });
  }

  collection('WAWebBlocklistCollection', 'BlocklistCollection');
  collection('WAWebPresenceCollection', 'PresenceCollection');
  collection('WAWebLabelCollection', 'LabelCollection');
  collection('WAWebStatusCollection', 'StatusCollection', { getMyStatus: () => ({ msgs: { get() {} } }) });
  collection('WAWebCallCollection', 'default', { processIncomingCall() {}, setActiveCall() {} });
  self.require('WAWebCallCollection').calls = new Map(); // whatsapp-web.js wraps the first own Map it finds

  functions('WAWebE2EProtoGenerator', ['createMsgProtobuf'], () => ({}));
  functions('WAWebSendMsgJob', ['encryptAndSendMsg'], async () => ({}));
  functions('WAWebEncryptAndSendStatusMsg', ['encryptAndSendStatusMsg'], async () => ({}));
  functions('WAWebBackendJobsCommon', ['mediaTypeFromProtobuf', 'encodeMaybeMediaType'], () => null);
  functions('WAWebE2EProtoUtils', ['typeAttributeFromProtobuf'], () => 'text');
  functions('WAWebSendMsgCreateFanoutStanza', ['createFanoutMsgStanza'], async () => ({ content: [] }));
  functions('WAWebABProps', ['getABPropConfigValue'], () => false);
  functions('WAWebStatusSendGatingUtils', ['primaryFeatureEnabled'], () => false);
  functions('WAWebHandleSingleMsg', ['handleSingleMsg'], async () => {});
  functions('WAWebCreateChat', ['createChatRecord'], async () => {});
  functions('WAWebGroupActionDb', ['updateDBForGroupAction'], async () => {});
  functions('WAWebPollsVotesDb', ['upsertVotesDb'], async () => {});
  functions('WAWebLabelActions', ['addToLabelCollection', 'removeLabelFromCollection']);
  functions('WAWebMsgUnreadType', ['getIsUnreadType'], () => true);
  functions('WAWebMediaVideoUtils', ['generateVideoThumbsAndDuration'], async () => ({ duration: 1, thumbs: [] }));
  functions('WAWebProcessRawSticker', ['processRawSticker'], async () => ({}));
  functions('WAWebLinkPreviewChatAction', ['getLinkPreview'], async () => null);
  functions('WAWebGenMinimalLinkPreviewChatAction', ['genMinimalLinkPreview'], async () => null);
  functions('WAWebPinGatingUtils', ['getNumChatsPinned'], () => 0);
  functions('WAWebChatFilterGating', ['isFilterExcludedFromSearchTreatmentInInboxFlow'], () => false);
  functions('WAWebSyncGatingUtils', ['isPlaceholderMessageResendEnabled'], () => false);

  define('WAWebOfflineHandler', (exports) => {
    exports.OfflineMessageHandler = { getOfflineDeliveryProgress: () => 100 };
  });
  define('WAWebLidMigrationUtils', (exports) => {
    exports.Lid1X1MigrationUtils = {
      isLidMigrated: () => false,
      isSyncdSessionMigrated: () => false,
      shouldApplyNonMigratedMessagingRules: () => false,
    };
    exports.toPn = (wid) => wid;
  });
  define('WALinkify', (exports) => Object.assign(exports, {
    findFirstWebLink: (text) => (String(text).match(/https?:\/\/\S+/) || [])[0],
    findLink: () => null,
    findLinks: () => [],
  }));
  define('WAWebChatSearchQuery', (exports) => {
    exports.SearchQuery = class {
      updateLabelQuery(filter) {
        this.filter = filter;
      }
    };
  });
  define('WAMd5', (exports) => Object.assign(exports, { md5: (text) => text, md5ArrayBufferHex: () => '' }));
  define('WAWebWapConstants', (exports) => {
    exports.DROP_ATTR = Symbol('drop');
  });
  define('WAWebAddonReactionTableMode', (exports) => {
    exports.reactionTableMode = { bulkUpsert() {} };
  });
  define('WAWebAddonPollVoteTableMode', (exports) => {
    exports.pollVoteTableMode = { bulkUpsert() {} };
  });
})();
