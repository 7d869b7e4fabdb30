/* What the user interface derives from chats and contacts; wa-js puts these on the models. */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const no = () => false;
  const yes = () => true;
  const none = () => undefined;
  const name = (contact) => contact.name || contact.pushname || (contact.id && contact.id.user);
  const formattedPhone = (contact) => `+${contact.id.user}`;
  const each = (names, body) => Object.fromEntries(names.map((one) => [one, body]));

  define('WAWebChatGetters', (exports) => Object.assign(exports, {
    getShouldAppearInList: yes,
    getPreviewMessage: () => [],
    getShowChangeNumberNotification: no,
    getShouldShowUnreadDivider: no,
    getHasUnread: (chat) => chat.unreadCount !== 0,
    getIsNewsletter: (chat) => chat.id.isNewsletter(),
    getIsBroadcast: (chat) => chat.id.isBroadcast(),
    getIsGroup: (chat) => chat.id.isGroup(),
  }));

  define('WAWebContactGetters', (exports, require) => Object.assign(exports, {
    getNotifyName: (contact) => contact.pushname,
    getUserid: (contact) => contact.id.user,
    getUserhash: () => '',
    getPremiumMessageName: name,
    getIsMe: (contact) => require('WAWebUserPrefsMeUser').isMeAccount(contact.id),
    getIsUser: (contact) => contact.id.isUser(),
    getIsGroup: (contact) => contact.id.isGroup(),
    getIsBroadcast: (contact) => contact.id.isBroadcast(),
    ...each(['getIsWAContact', 'getIsDisplayNameApproved'], yes),
    ...each([
      'getIsIAS', 'getIsPSA', 'getIsSupportAccount', 'getCanRequestPhoneNumber', 'getShouldForceBusinessUpdate',
      'getShowBusinessCheckmarkAsPrimary', 'getShowBusinessCheckmarkAsSecondary',
      'getShowBusinessCheckmarkInChatlist',
    ], no),
  }));

  define('WAWebFrontendContactGetters', (exports) => Object.assign(exports, {
    getIsMyContact: yes,
    getTextStatusString: () => '',
    ...each(['getPhoneNumber', 'getPnForLid'], none),
    ...each(['getFormattedPhone', 'getFormattedUsernameOrPhone'], formattedPhone),
    ...each([
      'getDisplayName', 'getUserDisplayNameForLid', 'getDisplayNameOrPnForLid', 'getFormattedShortName',
      'getFormattedShortNameWithNonBreakingSpaces', 'getFormattedName', 'getFormattedUser', 'getSearchName',
      'getMentionName', 'getSearchVerifiedName', 'getHeader',
    ], name),
  }));
})();
