/* Small things of the site without a life of their own: time, base64, build numbers, constants. */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const VERSION = self.StandIn.options.build;
  const mirror = (...names) => Object.freeze(Object.fromEntries(names.map((name) => [name, name])));

  define('WABase64', (exports) => Object.assign(exports, {
    encodeB64: (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))),
    decodeB64: (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer,
  }));
  define('WATimeUtils', (exports) => Object.assign(exports, {
    unixTime: () => Math.floor(Date.now() / 1000),
    unixTimeMs: () => Date.now(),
  }));
  define('WAWebBuildConstants', (exports) => Object.assign(exports, {
    VERSION_STR: VERSION,
    VERSION_BASE: VERSION,
    SANITIZED_VERSION_STR: VERSION,
    VERSION_PRIMARY: '2',
    VERSION_SECONDARY: '3000',
    VERSION_TERTIARY: VERSION.split('.')[2],
    WINDOWS_BUILD: null,
  }));
  define('WAWebMiscBrowserUtils', (exports) => {
    exports.default = {
      info: () => ({ os: 'Linux', version: '0', name: 'Chrome', ua: navigator.userAgent }),
      hardRefresh: () => location.reload(),
    };
  });

  define('WAWebSocketConstants', (exports) => Object.assign(exports, {
    SOCKET_STATE: mirror(
      'OPENING', 'PAIRING', 'UNPAIRED', 'UNPAIRED_IDLE', 'CONNECTED', 'TIMEOUT', 'CONFLICT', 'UNLAUNCHED',
      'PROXYBLOCK', 'TOS_BLOCK', 'SMB_TOS_BLOCK', 'DEPRECATED_VERSION',
    ),
    SOCKET_STREAM: mirror('DISCONNECTED', 'SYNCING', 'RESUMING', 'CONNECTED'),
    WATCHED_SOCKET_STATE: mirror('OPEN', 'CLOSED'),
  }));
  define('WAWebLogoutReasonConstants', (exports) => Object.assign(exports, {
    LogoutReason: {
      UserInitiated: 'user_initiated',
      UnknownCompanion: 'unknown_companion',
      AccountLocked: 'account_locked',
      StorageQuotaExceeded: 'storage_quota_exceeded',
    },
    LOGOUT_REASON_CODE: { CLIENT_FATAL: '0', SYNC_FAIL: '1', INITIAL_HISTORY_SYNC_TIMEOUT: '2', ACCOUNT_LOCKED: '3' },
  }));
  define('WAWebLogoutReason', (exports) => Object.assign(exports, {
    getErrorCodeFromLogoutReason: () => '0',
    setPrevLogoutReasonCode() {},
    setPrevCustomLogoutMessage() {},
    getPrevLogoutReasonCode: () => '0',
    getPrevCustomLogoutMessage: () => null,
  }));
  define('WAWebAck', (exports) => Object.assign(exports, {
    ACK: { FAILED: -1, CLOCK: 0, SENT: 1, RECEIVED: 2, READ: 3, PLAYED: 4 },
    EDIT_ATTR: { SENDER_REVOKE: 7, ADMIN_REVOKE: 8 },
    ACK_STRING: { SENDER: 'sender', READ: 'read' },
  }));
  define('WAWebSendMsgResultAction', (exports) => {
    exports.SendMsgResult = mirror(
      'OK', 'ERROR_NETWORK', 'ERROR_EXPIRED', 'ERROR_CANCELLED', 'ERROR_UPLOAD', 'ERROR_UNKNOWN',
    );
  });
  define('WAWebNonJidMentionType', (exports) => {
    exports.default = { MENTION_ALL: 1 };
  });
})();
