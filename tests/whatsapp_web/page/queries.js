/* Questions that only the server can answer; without a living link they wait. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebQueryExistsJob', (exports, require) => {
    async function queryWidExists(wid) {
      const { createWid } = require('WAWebWidFactory');
      const found = await require('StandInLink').query('wid_exists', { wid: String(wid) });
      if (!found) return null;
      if (found.lid && !wid.isLid()) require('WAWebApiContact').createLidPnMapping(found.lid, found.wid);
      return { wid: createWid(found.wid), biz: false, bizInfo: undefined, disappearingMode: undefined };
    }
    Object.assign(exports, {
      queryWidExists,
      queryPhoneExists: (phone) =>
        queryWidExists(require('WAWebWidFactory').createUserWid(String(phone).replace('+', ''))),
    });
  });

  define('WAWebGroupQueryJob', (exports, require) => {
    exports.queryAllGroups = async () => {
      const { createWid } = require('WAWebWidFactory');
      const groups = await require('StandInLink').query('all_groups');
      groups.forEach(require('StandInGroups').learn);
      return groups.map((group) => ({
        id: createWid(group.id),
        subject: group.subject,
        owner: createWid(group.owner),
        creation: group.creation,
        participants: group.participants.map((participant) => createWid(participant.id)),
        size: group.participants.length,
      }));
    };
  });
})();
