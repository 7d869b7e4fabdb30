/* Contacts, participants and groups, and which phone number is behind which lid. */
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

  define('WAWebParticipantCollection', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { BaseCollection } = require('WAWebBaseCollection');
    class ParticipantModel extends BaseModel {}
    ParticipantModel.prototype.proxyName = 'participant';
    class ParticipantCollection extends BaseCollection {
      iAmMember() {
        return true;
      }
      iAmAdmin() {
        const { isMeAccount } = require('WAWebUserPrefsMeUser');
        return this.some((participant) => participant.isAdmin && isMeAccount(participant.id));
      }
    }
    ParticipantCollection.model = ParticipantModel;
    exports.default = ParticipantCollection;
  });

  define('WAWebGroupMetadataCollection', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { BaseCollection } = require('WAWebBaseCollection');
    class GroupMetadataModel extends BaseModel {}
    GroupMetadataModel.prototype.proxyName = 'group-metadata';
    class GroupMetadataCollectionImpl extends BaseCollection {
      _handleParentGroupChange() {}
    }
    GroupMetadataCollectionImpl.model = GroupMetadataModel;
    exports.default = new GroupMetadataCollectionImpl();
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
    const groups = require('WAWebGroupMetadataCollection');
    const { ensureChat } = require('StandInChats');

    /** Takes over what the server says of people and groups. */
    exports.learn = (roster) => {
      for (const { phone, lid, name, chat } of roster.contacts) {
        ContactCollection.add({ id: createWid(phone), name, pushname: name }, { merge: true });
        if (lid) require('WAWebApiContact').createLidPnMapping(lid, phone);
        if (chat) ensureChat(phone).set({ name });
      }
      roster.groups.forEach(exports.learnGroup);
    };

    exports.learnGroup = ({ id, subject, owner, creation, participants }) => {
      const members = new (require('WAWebParticipantCollection'))();
      members.add(
        participants.map((one) => ({ id: createWid(one.id), isAdmin: one.isAdmin, isSuperAdmin: one.isAdmin })),
      );
      const metadata = {
        id: createWid(id),
        subject,
        owner: createWid(owner),
        creation,
        participants: members,
        size: members.length,
        announce: false,
        groupType: 'DEFAULT',
        isLidAddressingMode: false,
      };
      groups.add(metadata, { merge: true });
      ensureChat(id).set({ name: subject });
    };
  });
})();
