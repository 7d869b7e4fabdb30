/* Contacts, and which phone number is behind which lid. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebContactModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    class ContactModel extends BaseModel {
      getCollection() {
        return require('WAWebContactCollection').ContactCollection;
      }
    }
    ContactModel.prototype.proxyName = 'contact';
    exports.default = ContactModel;
  });

  define('WAWebContactCollection', (exports, require) => {
    const { BaseCollection } = require('WAWebBaseCollection');
    class ContactCollectionImpl extends BaseCollection {
      async find(id) {
        return this.get(id) || this.add({ id: require('WAWebWidFactory').createWid(String(id)) })[0];
      }
    }
    ContactCollectionImpl.model = require('WAWebContactModel');
    Object.assign(exports, { ContactCollectionImpl, ContactCollection: new ContactCollectionImpl() });
  });

  // What is not in the mapping is not known to the page either: a lid may stay without a number.
  define('WAWebApiContact', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const lidOf = new Map();
    const phoneOf = new Map();
    const asWid = (text) => (text === undefined ? undefined : createWid(text));
    const getCurrentLid = (wid) => asWid(lidOf.get(String(wid)));
    const getPhoneNumber = (wid) => asWid(phoneOf.get(String(wid)));
    Object.assign(exports, {
      lidPnCache: { getCurrentLid, getPhoneNumber },
      getCurrentLid,
      getPhoneNumber,
      getAlternateUserWid: (wid) => (wid.isLid() ? getPhoneNumber(wid) : getCurrentLid(wid)),
      createLidPnMapping(lid, phone) {
        lidOf.set(phone, lid);
        phoneOf.set(lid, phone);
      },
    });
  });

  define('StandInPeople', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { ContactCollection } = require('WAWebContactCollection');
    const { ensureChat } = require('StandInChats');

    /** Takes over what the server says of people and groups. */
    exports.learn = (roster) => {
      for (const { phone, lid, name, chat } of roster.contacts) {
        ContactCollection.add({ id: createWid(phone), name, pushname: name }, { merge: true });
        if (lid) require('WAWebApiContact').createLidPnMapping(lid, phone);
        if (chat) ensureChat(phone).set({ name });
      }
      roster.groups.forEach(require('StandInGroups').learn);
      for (const [address, settings] of Object.entries(roster.chats)) ensureChat(address).set(settings);
    };
  });
})();
