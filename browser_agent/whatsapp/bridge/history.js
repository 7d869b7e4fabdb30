/*
 * Messages that were not told when they came: found in the page's store, in its own database behind it, and on the
 * phone. The agent asks for their keys first, and then for those that it has not told.
 */

const EARLIER_AT_ONCE = 200;
const FOUND_AT_MOST = 20000;

// Messages that were found outside the store, until the agent has asked for them.
const found = new Map();

const chatsOf = () => attempt(() => WPP.whatsapp.ChatStore.getModelsArray(), []);

const seconds = (read) => whole(() => toSeconds(read()));

// Only a chat model knows the way to the server; builds differ in where it is.
const loadEarlier = async (chat) => {
  const { loadEarlierMsgs } = attempt(() => window.require('WAWebChatLoadMessages'), {});
  if (loadEarlierMsgs) return loadEarlierMsgs({ chat });
  if (chat.loadEarlierMsgs) return chat.loadEarlierMsgs();
  throw new Error('this build has no way to earlier messages');
};

// Times are whole seconds, so that among equals the place counts: builds list forwards or backwards.
const oldestOf = (messages) => {
  const [first, last] = [messages[0], messages.at(-1)];
  return first && last.t < first.t ? last : (first ?? null);
};

const noteFound = (message) => {
  if (found.size >= FOUND_AT_MOST) found.delete(found.keys().next().value);
  found.set(message.id.toString(), message);
};

/** Has the chat's messages back to a time at hand; whether there is nothing earlier that cannot be had at present. */
const reachBack = async (chat, since, deadline) => {
  const inStore = () => chat.msgs.getModelsArray();
  const known = new Set(inStore().map((message) => message.id.toString()));
  const isNew = (message) => !known.has(message.id.toString());
  let oldest = oldestOf(inStore());
  while (oldest === null || oldest.t >= since) {
    if (Date.now() > deadline) return false;
    // First the page's own database, which needs no link; then the server, or the phone.
    let fresh = (await fromDatabase(chat, oldest)).filter(isNew);
    if (!fresh.length) {
      if (flag(() => chat.msgs.msgLoadState.noEarlierMsgs)) return true;
      const asked = await within(Promise.resolve(loadEarlier(chat)), deadline);
      fresh = inStore().filter(isNew);
      if (!fresh.length) return asked || flag(() => chat.msgs.msgLoadState.noEarlierMsgs);
    }
    for (const message of fresh) {
      known.add(message.id.toString());
      if (!WPP.whatsapp.MsgStore.get(message.id)) noteFound(message);
    }
    const edge = oldestOf(fresh);
    if (oldest === null || edge.t <= oldest.t) oldest = edge;
  }
  return true;
};

const fromDatabase = (chat, oldest) => {
  const anchor = oldest ? { id: oldest.id.toString() } : {};
  const asked = { count: EARLIER_AT_ONCE, direction: 'before', ...anchor };
  return WPP.chat.getMessages(chat.id, asked).catch(() => []);
};

/** Whether a promise was kept before the deadline. */
const within = (promise, deadline) =>
  Promise.race([
    promise.then(() => true, () => false),
    new Promise((resolve) => setTimeout(resolve, Math.max(0, deadline - Date.now()), false)),
  ]);

const reactionsOf = async (message) => {
  if (!flag(() => message.hasReaction)) return [];
  const { reactions } = await WPP.chat.getReactions(message.id).catch(() => ({ reactions: [] }));
  return reactions.flatMap((one) => one.senders);
};

const pieces = new Map(); // what a listed key stands for, until the agent asks for it

const list = (listed, key, t, read) => {
  listed.push([key, t]);
  pieces.set(key, read);
};

/** Keys and times of what a message is and what was done to it, as far as that is later than `since`. */
const listMessage = async (listed, message, since) => {
  const key = message.id.toString();
  const t = seconds(() => message.t);
  const isRevoked = message.type === 'revoked';
  if (isRevoked) {
    // What it was cannot be known any more; that it was, and is not, can.
    const at = seconds(() => message.revokeTimestamp) ?? t;
    const read = () => readRevocation(message.id, message.id.remote, message.revokeSender ?? authorWid(message), at);
    if (at > since || t > since) list(listed, `revoke_${key}`, at, read);
    return;
  }
  if (t > since && isForPeople(message)) list(listed, key, t, () => readMessage(message));
  if (attempt(() => message.latestEditMsgKey)) {
    const edit = readEdit(message);
    if (edit.t > since) list(listed, edit.key, edit.t, () => readEdit(message));
  }
  for (const reaction of await reactionsOf(message)) {
    const read = readReaction(reaction);
    if (read.t > since) list(listed, read.key, read.t, () => readReaction(reaction));
  }
};

const authorWid = (message) => message.author ?? message.id.participant ?? message.from;

Object.assign(waAgent, {
  /** Every chat: what it is, and when its last message came. */
  chats: () =>
    chatsOf()
      .filter((chat) => !NEVER_FOLLOWED.test(String(chat.id)) && !flag(() => chat.isNewsletter))
      .map((chat) => ({
        id: String(chat.id).toWellFormed(),
        name: text(() => chat.name || chat.formattedTitle),
        is_group: attempt(() => chat.id.isGroup(), String(chat.id).endsWith('@g.us')),
        t: seconds(() => chat.t),
        unread: whole(() => chat.unreadCount),
        archived: flag(() => chat.archive),
      })),

  /** `[key, t]` of everything later than `since` (epoch seconds) in a chat, and whether that is all there is. */
  keysSince: async (chatId, since, within_ms) => {
    const chat = WPP.whatsapp.ChatStore.get(chatId);
    if (!chat) return { keys: [], complete: false };
    const deadline = Date.now() + within_ms;
    const complete = await reachBack(chat, since, deadline);
    const outside = [...found.values()].filter((message) => String(message.id.remote) === chatId);
    const listed = [];
    for (const message of [...outside, ...chat.msgs.getModelsArray()]) await listMessage(listed, message, since);
    return { keys: listed, complete };
  },

  /** What such keys stand for, as told live. */
  piecesOf: (keys) =>
    keys.map((key) => {
      const read = pieces.get(key);
      return read ? attempt(read) : null;
    }),

  /** The agent has asked for all that it wants. */
  forgetPieces: () => {
    pieces.clear();
    found.clear();
  },
});
