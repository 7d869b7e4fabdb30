/* Groups with their members, asked of the server where the page can. */

const memberOf = (participant) => ({
  who: lidAndPhone(participant.id),
  name: text(() => contactName(participant.id)),
  is_admin: flag(() => participant.isAdmin || participant.isSuperAdmin),
});

const contactName = (wid) => {
  const contact = WPP.whatsapp.ContactStore.get(wid);
  return contact?.name || contact?.pushname || contact?.verifiedName || null;
};

const participantsOf = (metadata) => attempt(() => metadata.participants.getModelsArray(), []);

Object.assign(waAgent, {
  groups: async () => {
    // It brings the page's own copies up to date; without a link they are what is known.
    await WPP.whatsapp.functions.queryAllGroups().catch(() => null);
    return attempt(() => WPP.whatsapp.GroupMetadataStore.getModelsArray(), []).map((metadata) => ({
      id: String(metadata.id).toWellFormed(),
      name: text(() => metadata.subject || WPP.whatsapp.ChatStore.get(metadata.id).name),
      created: whole(() => toSeconds(metadata.creation)),
      members: participantsOf(metadata).map(memberOf),
    }));
  },
});
