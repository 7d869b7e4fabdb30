/* Messages in: what a message is for the agent, and each one told as it comes. */

// The page's own affairs: what they mean for people is told in another way, or nothing.
const NOT_FOR_PEOPLE = new Set([
  'protocol', // a revocation or an edit: told as such
  'reaction',
  'album', // its photos come by themselves
  'ciphertext', // not decrypted yet; it comes again when it is
  'e2e_notification',
  'notification_template',
  'debug',
]);
const WITH_A_FILE = new Set(['image', 'video', 'ptv', 'gif', 'audio', 'ptt', 'document', 'sticker']);
const NEVER_FOLLOWED = /@(broadcast|newsletter)$/;

const toSeconds = (time) => (time > 1e11 ? Math.floor(time / 1000) : time);

// Everywhere the same: rules of what is followed may go by it.
const chatName = (chat) => text(() => chat.name || chat.formattedTitle || null);
const chatOf = (wid) => attempt(() => WPP.whatsapp.ChatStore.get(wid));

// A person's chat has one of two addresses; rules may name the other.
const aliasOf = (wid) => (attempt(() => wid.isGroup(), true) ? null : lidAndPhone(wid));

const people = (read) => attempt(() => Array.from(read() ?? [], lidAndPhone), []);

const fileOf = (message) =>
  (WITH_A_FILE.has(message.type) && message.mediaData) || message.directPath
    ? {
        mimetype: text(() => message.mimetype),
        size: whole(() => message.size),
        filehash: text(() => message.filehash),
        filename: text(() => message.filename),
        width: whole(() => message.width),
        height: whole(() => message.height),
      }
    : null;

// A message names the one it quotes by id and author only; its key is put together as WhatsApp does.
const quotedKey = (message) => {
  if (!message.quotedStanzaID) return null;
  const author = message.quotedParticipant;
  const chat = message.quotedRemoteJid || message.id.remote;
  const parts = [!!author && String(author) === String(me()), chat, message.quotedStanzaID];
  return (message.id.remote.isGroup() && author ? [...parts, author] : parts).map(String).join('_');
};

const locationOf = (message) =>
  message.type === 'location'
    ? { latitude: number(() => message.lat), longitude: number(() => message.lng), name: text(() => message.loc || null) }
    : null;

const cardsOf = (message) => {
  if (message.type !== 'vcard' && message.type !== 'multi_vcard') return [];
  const cards = message.vcardList?.length
    ? message.vcardList
    : [{ displayName: message.vcardFormattedName, vcard: message.body }];
  return cards.map((card) => ({
    name: text(() => card.displayName ?? card.vcardFormattedName),
    vcard: text(() => card.vcard),
  }));
};

const pollOf = (message) =>
  message.type === 'poll_creation'
    ? {
        question: text(() => message.pollName),
        options: attempt(() => message.pollOptions.map((option) => String(option.name).toWellFormed()), []),
        selectable: whole(() => message.pollSelectableOptionsCount),
      }
    : null;

const authorOf = (message, isGroup) =>
  lidAndPhone(attempt(() => (isGroup ? message.author || message.id.participant : message.from)));

// Key and chat are what a message is; whatever else cannot be read is left out.
const readMessage = (message) => {
  const key = message.id.toString().toWellFormed(); // never _serialized: some builds lack it on first sight
  const chatId = String(message.id.remote);
  const isGroup = attempt(() => message.id.remote.isGroup(), chatId.endsWith('@g.us'));
  const type = text(() => message.type) ?? 'unknown';
  return {
    key,
    chat_id: chatId.toWellFormed(),
    chat_name: chatName(chatOf(message.id.remote)) ?? chatName(attempt(() => message.chat)),
    chat_alias: aliasOf(message.id.remote),
    is_group: isGroup,
    author: authorOf(message, isGroup),
    from_me: flag(() => message.id.fromMe),
    type,
    subtype: text(() => message.subtype),
    text: text(() => (type === 'chat' ? message.body : message.caption)),
    t: whole(() => message.t),
    quoted_key: text(() => quotedKey(message)),
    album_key: WITH_A_FILE.has(type) ? text(() => message.parentMsgKey) : null,
    mentions: people(() => message.mentionedJidList),
    forwarded: flag(() => message.isForwarded),
    ephemeral: flag(() => message.ephemeralDuration > 0),
    view_once: flag(() => message.isViewOnce),
    media: attempt(() => fileOf(message)),
    location: attempt(() => locationOf(message)),
    contacts: attempt(() => cardsOf(message), []),
    poll: attempt(() => pollOf(message)),
    members: type === 'gp2' ? people(() => message.recipients) : [],
  };
};

// What is done to a message later has a key that is made of what it is: live and found afterwards, it is the same.
const readEdit = (message) => ({
  ...readMessage(message),
  key: `edit_${text(() => message.latestEditMsgKey.id) ?? whole(() => message.latestEditSenderTimestampMs)}_${message.id}`,
  type: 'edit',
  target_key: message.id.toString(),
  t: whole(() => toSeconds(message.latestEditSenderTimestampMs ?? Date.now())),
  text: text(() => message.caption ?? (message.type === 'chat' ? message.body : null)),
  media: null,
});

const readRevocation = (targetKey, chat, author, t) => ({
  key: `revoke_${targetKey}`,
  chat_id: String(chat),
  chat_name: chatName(chatOf(chat)),
  chat_alias: aliasOf(chat),
  is_group: String(chat).endsWith('@g.us'),
  author: lidAndPhone(author),
  from_me: attempt(() => author && String(author) === String(me()), false),
  type: 'revoke',
  target_key: String(targetKey),
  t,
});

// Live their keys are objects; those read back may be texts.
const asKey = (key) => (typeof key === 'string' ? WPP.whatsapp.MsgKey.fromString(key) : key);

const readReaction = (told) => {
  const [id, msgId] = [asKey(told.id), asKey(told.msgId)];
  const { reactionText, sender, timestamp } = told;
  const chat = msgId.remote;
  return {
    key: `reaction_${id}`,
    chat_id: String(chat),
    chat_name: chatName(chatOf(chat)),
    chat_alias: aliasOf(chat),
    is_group: String(chat).endsWith('@g.us'),
    author: lidAndPhone(sender),
    from_me: flag(() => id.fromMe),
    type: 'reaction',
    target_key: msgId.toString(),
    text: text(() => reactionText),
    t: whole(() => toSeconds(timestamp)),
  };
};

const isForPeople = (message) =>
  !NOT_FOR_PEOPLE.has(text(() => message.type)) && !NEVER_FOLLOWED.test(String(message.id.remote));

// wa-js hears of edits and reactions, and of acknowledgements, only from here on; what came before is in the store.
WPP.on('loader.full_ready', () => tell('hears_all', {}));
const tellMessage = orTrouble('message', (message) => {
  const isTold = isForPeople(message);
  if (isTold) tell('message', { message: readMessage(message) });
  hear(message, isTold); // only now: one that could not be told was not heard
});
WPP.on('chat.new_message', (message) => {
  if (!tellMessage(message)) hearUnreadable(message);
});
WPP.on('chat.msg_edited', orTrouble('edit', ({ msg }) => {
  if (isForPeople(msg)) tell('message', { message: readEdit(msg) });
}));
WPP.on('chat.msg_revoke', orTrouble('revocation', ({ author, from, refId }) => {
  if (NEVER_FOLLOWED.test(String(refId.remote))) return;
  const now = Math.floor(Date.now() / 1000);
  tell('message', { message: readRevocation(refId, refId.remote, author ?? from, now) });
}));
WPP.on('chat.new_reaction', orTrouble('reaction', (reaction) => {
  if (!NEVER_FOLLOWED.test(String(reaction.msgId.remote))) tell('message', { message: readReaction(reaction) });
}));
