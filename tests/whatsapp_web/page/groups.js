/* Groups: who is in them, and what changes about them. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebParticipantCollection', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { BaseCollection } = require('WAWebBaseCollection');
    class ParticipantModel extends BaseModel {}
    ParticipantModel.prototype.proxyName = 'participant';
    class ParticipantCollection extends BaseCollection {
      iAmMember() {
        const { isMeAccount } = require('WAWebUserPrefsMeUser');
        return this.some((participant) => isMeAccount(participant.id));
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

  define('StandInGroups', (exports, require) => {
    const { createWid } = require('WAWebWidFactory');
    const { ensureChat } = require('StandInChats');
    const groups = require('WAWebGroupMetadataCollection');
    const ACTIONS = { add: 'add', invite: 'add', remove: 'remove', leave: 'remove', promote: 'promote', demote: 'demote' };

    /** Takes over what the server says of a group. */
    exports.learn = ({ id, subject, owner, creation, participants }) => {
      const members = new (require('WAWebParticipantCollection'))();
      members.add(
        participants.map((one) => ({ id: createWid(one.id), isAdmin: one.isAdmin, isSuperAdmin: one.id === owner })),
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

    /** A notification of a change came; who is in the group follows from the roster, wa-js hears of it here. */
    exports.changed = ({ id, subtype, author, notifyName, recipients = [], t }) => {
      const actionType = ACTIONS[subtype];
      if (!actionType) return;
      require('WAWebGroupActionDb').updateDBForGroupAction(
        { chatId: id.remote, author, pushname: notifyName, t },
        { actionType, participants: recipients.map((one) => ({ id: one })), isInvite: subtype === 'invite' },
      );
    };
  });
})();
