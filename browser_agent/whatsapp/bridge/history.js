/*
 * Messages that were not told when they came: found in the page's store, in its own database behind it, and on the
 * phone. The agent asks for the keys of a chat first, and then for those that it has not told.
 */

const EARLIER_AT_ONCE = 200;
const LISTED_AT_MOST = 100_000;
const REACTED_AT_MOST = 500;
const LOOKS_FOR_LATE_ONES = 4;
const BETWEEN_LOOKS_MS = 500;

const chatsOf = () => attempt(() => WPP.whatsapp.ChatStore.getModelsArray(), []);

const seconds = (read) => whole(() => toSeconds(read()));
const timeOf = (message) => seconds(() => message.t);

const keyOf = (message) => message.id.toString();

// Builds differ in where the way to the server is.
const loadEarlier = async (chat) => {
  const { loadEarlierMsgs } = attempt(() => window.require('WAWebChatLoadMessages'), {});
  if (loadEarlierMsgs) return loadEarlierMsgs({ chat });
  if (chat.loadEarlierMsgs) return chat.loadEarlierMsgs();
  throw new Error('this build has no way to earlier messages');
};

/** Whether a promise was kept before the deadline. */
const within = (promise, deadline) =>
  Promise.race([
    promise.then(() => true, () => false),
    new Promise((resolve) => setTimeout(resolve, Math.max(0, deadline - Date.now()), false)),
  ]);

// Times are whole seconds, so that among equals the place counts: builds list forwards or backwards.
const oldestOf = (messages) => {
  const timed = messages.filter((message) => timeOf(message) !== null);
  const [first, last] = [timed[0], timed.at(-1)];
  return first && timeOf(last) < timeOf(first) ? last : (first ?? null);
};

const isBeginning = (message) =>
  message !== null && ((message.type === 'gp2' && message.subtype === 'create') || message.type === 'e2e_notification');

const fromDatabase = (chat, oldest) => {
  const anchor = oldest ? { id: keyOf(oldest) } : {};
  const asked = { count: EARLIER_AT_ONCE, direction: 'before', ...anchor };
  return WPP.chat.getMessages(chat.id, asked).catch(() => []);
};

/** What the server, or the phone, has before all that is here. It may come a while after the page has asked. */
const fromServer = async (chat, isNew, deadline) => {
  const inStore = () => chat.msgs.getModelsArray();
  const fresh = () => inStore().filter(isNew);
  const goesOn = () => !fresh().length && !isAtItsEnd(chat) && Date.now() < deadline;
  let before;
  do {
    // It begins with what the page's database has, which is known here already.
    before = inStore().length;
    await within(loadEarlier(chat), deadline);
  } while (goesOn() && inStore().length > before);
  for (let look = 0; look < LOOKS_FOR_LATE_ONES && goesOn(); look++) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_LOOKS_MS));
  }
  return fresh();
};

const isAtItsEnd = (chat) => flag(() => chat.msgs.msgLoadState.noEarlierMsgs);

/**
 * Adds a chat's messages to `messages` (by key) back to a time; whether that is complete: nothing earlier is missing
 * that cannot be had at present.
 */
const reachBack = async (chat, messages, since, deadline) => {
  const isNew = (message) => !messages.has(keyOf(message));
  let oldest = oldestOf([...messages.values()]);
  while (oldest === null || timeOf(oldest) >= since) {
    if (Date.now() > deadline || messages.size > LISTED_AT_MOST) return false;
    // First the page's own database, which needs no link.
    let fresh = (await fromDatabase(chat, oldest)).filter(isNew);
    if (!fresh.length) {
      if (isAtItsEnd(chat) || isBeginning(oldest)) return true;
      fresh = await fromServer(chat, isNew, deadline);
      if (!fresh.length) return isAtItsEnd(chat);
    }
    for (const message of fresh) messages.set(keyOf(message), message);
    const edge = oldestOf(fresh);
    if (edge && (oldest === null || timeOf(edge) <= timeOf(oldest))) oldest = edge;
  }
  return true;
};

const pieces = new Map(); // what a listed key stands for, until the agent has asked for it

const list = (listed, key, t, read) => {
  listed.push([key, t]);
  pieces.set(key, read);
};

const authorWid = (message) => message.author ?? message.id.participant ?? message.from;

/** Keys and times of a message, its revocation and its edit, as far as they are later than `since`. */
const listMessage = (listed, message, since) => {
  const key = keyOf(message);
  const t = timeOf(message);
  if (message.type === 'revoked') {
    // What it was cannot be known any more; that it was, and is not, can.
    const at = seconds(() => message.revokeTimestamp) ?? t;
    const read = () => readRevocation(message.id, message.id.remote, message.revokeSender ?? authorWid(message), at);
    if (at > since || t > since) list(listed, `revoke_${key}`, at, read);
    return;
  }
  if ((t === null || t > since) && isForPeople(message)) list(listed, key, t, () => readMessage(message));
  if (attempt(() => message.latestEditMsgKey)) {
    const edit = readEdit(message);
    if (edit.t > since) list(listed, edit.key, edit.t, () => readEdit(message));
  }
};

/** Reactions are asked for message by message, the latest messages first. */
const listReactions = async (listed, messages, since, deadline) => {
  const reacted = messages.filter((message) => flag(() => message.hasReaction));
  for (const message of reacted.slice(-REACTED_AT_MOST).reverse()) {
    if (Date.now() > deadline) return;
    const { reactions } = await WPP.chat.getReactions(message.id).catch(() => ({ reactions: [] }));
    for (const reaction of reactions.flatMap((one) => one.senders)) {
      const read = readReaction(reaction);
      if (read.t > since) list(listed, read.key, read.t, () => readReaction(reaction));
    }
  }
};

Object.assign(waAgent, {
  /** Every chat: what it is, and when its last message came. */
  chats: () =>
    chatsOf()
      .filter((chat) => !NEVER_FOLLOWED.test(String(chat.id)) && !flag(() => chat.isNewsletter))
      .map((chat) => ({
        id: String(chat.id).toWellFormed(),
        alias: aliasOf(chat.id),
        name: chatName(chat),
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
    const messages = new Map(chat.msgs.getModelsArray().map((message) => [keyOf(message), message]));
    const complete = await reachBack(chat, messages, since, deadline);
    const listed = [];
    for (const message of messages.values()) orTrouble('listing', listMessage)(listed, message, since);
    await listReactions(listed, [...messages.values()], since, deadline);
    return { keys: listed, complete };
  },

  /** What such keys stand for, as told live; null for what cannot be read. */
  piecesOf: (keys) => {
    if (!keys.every((key) => pieces.has(key))) throw new Error('not listed in this document');
    return keys.map((key) => attempt(pieces.get(key)));
  },

  /** The agent has asked for all that it wants. */
  forgetPieces: () => pieces.clear(),
});
