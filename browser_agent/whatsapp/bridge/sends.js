/*
 * Messages out. The agent gives each an id, so that one which was sent before, by whichever life of the page, is found
 * and not sent again; what was begun here and has not come to its end is joined, not begun once more.
 */

const LOOK_EVERY_MS = 50;
const SEARCH_WITHIN_MS = 3000;
// What never settles (a file whose upload breaks off) is begun anew after so long.
const STUCK_AFTER_MS = 15 * 60 * 1000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const coded = (code) => Object.assign(new Error(code), { code });

const ackOf = (message) => whole(() => message.ack) ?? 0;

// -- where it goes ------------------------------------------------------------------------------------------------

const isPrivate = (to) => !to.endsWith('@g.us');

const asked = new Map(); // number -> the address that WhatsApp's server has for it

/** The address behind a number: in some countries it is written with a digit more or less. Null where it has none. */
const addressOf = async (to) => {
  if (asked.has(to)) return asked.get(to);
  const found = await WPP.contact.queryExists(to);
  if (!found) return null;
  const address = text(() => found.wid) ?? to;
  asked.set(to, address);
  return address;
};

const knownChat = (to) => WPP.whatsapp.ChatStore.get(to) ?? (asked.has(to) ? WPP.whatsapp.ChatStore.get(asked.get(to)) : null);

/** The chat, made where there is none. Writing to a number that has no WhatsApp is what gets accounts restricted. */
const chatFor = async (to) => {
  const known = knownChat(to);
  if (known) return known;
  if (!isPrivate(to)) throw coded('group_not_found');
  const address = await addressOf(to);
  if (address === null) throw coded('not_on_whatsapp');
  return WPP.whatsapp.ChatStore.get(address) ?? WPP.chat.find(address);
};

const checkMayWrite = (chat) => {
  const group = attempt(() => chat.groupMetadata);
  if (!group) return;
  if (attempt(() => group.participants.iAmMember() === false, false)) throw coded('not_a_member');
  if (flag(() => group.announce) && attempt(() => group.participants.iAmAdmin() === false, false)) {
    throw coded('only_admins_write');
  }
};

/** As WPP.chat.generateMessageID makes it (who is the sender differs between chats), with an id of our own. */
const ownKey = async (chat, id) => {
  const parts = (await WPP.chat.generateMessageID(chat.id)).toString().split('_');
  parts[2] = id;
  return WPP.whatsapp.MsgKey.fromString(parts.join('_'));
};

// -- whether it went out before -----------------------------------------------------------------------------------

const loadedMessage = (chat, key) =>
  WPP.whatsapp.MsgStore.get(key.toString()) ??
  chat.msgs.getModelsArray().find((one) => one.id.fromMe && one.id.id === key.id);

/** A key in all its forms: chats and people have an address by number and one by lid, and either may be in it. */
const formsOf = (key) => {
  const [fromMe, remote, id, participant] = key.split('_');
  const forms = (address) => {
    const { lid, phone } = lidAndPhone(attempt(() => WPP.whatsapp.WidFactory.createWid(address)));
    return [...new Set([address, lid, phone].filter((one) => one !== null))];
  };
  const people = participant ? forms(participant).map((one) => `_${one}`) : [''];
  return (isPrivate(remote) ? forms(remote) : [remote]).flatMap((chat) =>
    people.map((one) => `${fromMe}_${chat}_${id}${one}`),
  );
};

const searched = async (key) => {
  const { MsgStore } = WPP.whatsapp;
  const keys = formsOf(key);
  if (typeof MsgStore.getMessagesById === 'function') {
    return (await MsgStore.getMessagesById(keys))?.messages?.find((one) => one) ?? null;
  }
  for (const one of keys) {
    try {
      const found = await WPP.chat.getMessageById(one);
      if (found) return found;
    } catch (error) {
      if (error.code !== 'msg_not_found') throw error;
    }
  }
  return null;
};

/** The message in the store or in the page's database, or null. Nothing is sent on a search that did not end. */
const lookFor = async (chat, key) => {
  const loaded = loadedMessage(chat, key);
  if (loaded) return loaded;
  const late = Symbol('late');
  const found = await Promise.race([searched(key.toString()), pause(SEARCH_WITHIN_MS).then(() => late)]);
  if (found === late) throw coded('search_timed_out');
  return found;
};

// -- sending ------------------------------------------------------------------------------------------------------

const inputs = new Map(); // token -> the element that the agent has given a file

// The account's read state is its owner's, and previews would be asked of others' servers.
const COMMON = { waitForAck: true, markIsRead: false, detectMentioned: false, linkPreview: false };

const sendings = {
  text: (chat, messageId, { text, mentions, quoted }) =>
    WPP.chat.sendTextMessage(chat.id, text, {
      ...COMMON,
      messageId,
      ...(mentions?.length ? { mentionedList: mentions } : {}),
      ...(quoted ? { quotedMsg: quoted } : {}),
    }),
  file: (chat, messageId, { token, type, caption, filename, mimetype, voice }) => {
    const given = inputs.get(token)?.files?.[0];
    if (!given) throw coded('no_file');
    // A File of a File copies nothing: both stand for what is on the disk.
    const file = new File([given], filename, { type: mimetype });
    const options = { ...COMMON, messageId, type, filename, mimetype, ...(caption ? { caption } : {}) };
    return WPP.chat.sendFileMessage(chat.id, file, voice ? { ...options, isPtt: true } : options);
  },
};

/** With which code the server refuses, as far as the page knows. It does not say so in a send's own result. */
const refusal = (sent) => {
  const told = text(() => sent.sendMsgResult.errorCode ?? sent.sendMsgResult.error ?? null);
  if (told !== null) return told;
  const isLocked = attempt(() => window.require('WAWebReachoutTimelockUtils').isUserReachoutTimelocked(), false);
  return isLocked === true ? '463' : null;
};

const answerOf = (key, ack, result = null, code = null) => ({ key: key.toString(), ack, result, code });

const underWay = new Map(); // id -> what was begun here

const carryOut = async (run, what) => {
  const chat = await chatFor(what.to);
  run.chat = chat;
  run.key = await ownKey(chat, what.id);
  const before = await lookFor(chat, run.key);
  if (before) run.key = before.id;
  if (before && ackOf(before) > 0) return answerOf(before.id, ackOf(before));
  if (before && ackOf(before) === 0) {
    run.isOnItsWay = true; // the page itself sends what it could not get through
    return null;
  }
  if (what.lookOnly) return answerOf(run.key, -1, 'NOT_FOUND');
  checkMayWrite(chat);
  if (before) {
    // Refused or broken off before. wa-js waits for a file's message to be added, which it is: the ack tells instead.
    attempt(() => before.on('change:ack', (message, ack) => ack < 0 && run.end({ value: failed(run, null) })));
  }
  const sent = await sendings[what.kind](chat, run.key, what);
  const result = text(() => sent.sendMsgResult.messageSendResult);
  const ack = Math.max(ackOf(loadedMessage(chat, run.key)), ackOf(sent));
  return result === null || result === 'OK' || ack > 0 ? answerOf(run.key, ack, result) : failed(run, sent);
};

const failed = (run, sent) =>
  answerOf(run.key, -1, text(() => sent.sendMsgResult.messageSendResult) ?? 'ERROR_UNKNOWN', refusal(sent));

const ourReaction = async (messageKey) =>
  (await WPP.chat.getReactions(messageKey).catch(() => null))?.reactionByMe ?? null;

const reactionKey = (mine) => text(() => mine.id.toString()) ?? '';

/** The answer where our reaction to the message is this one already. A message that is not here has none to take back. */
const reactionThatIs = async (messageKey, reaction) => {
  const late = Symbol('late');
  const found = await Promise.race([
    WPP.whatsapp.MsgStore.get(messageKey) ?? searched(messageKey),
    pause(SEARCH_WITHIN_MS).then(() => late),
  ]);
  if (found === late) throw coded('search_timed_out');
  if (!found) throw coded('msg_not_found');
  const mine = await ourReaction(messageKey);
  const isThis = (mine?.reactionText ?? '') === reaction && (mine || reaction === '');
  return isThis ? answerOf(reactionKey(mine), 1, 'OK') : null;
};

const begin = (what) => {
  const run = { since: Date.now(), chat: null, key: null, done: null, lookOnly: Boolean(what.lookOnly) };
  run.ended = new Promise((resolve) => {
    run.end = (done) => {
      run.done ??= done;
      resolve();
    };
  });
  carryOut(run, what).then(
    (value) => value && run.end({ value }),
    (error) => run.end({ error }),
  );
  if (!what.lookOnly) underWay.set(what.id, run);
  return run;
};

Object.assign(waAgent, {
  /** An element for a file, for the agent to fill. */
  fileInput: (token) => {
    const input = document.createElement('input');
    input.type = 'file';
    inputs.set(token, input);
    return input;
  },
  dropFile: (token) => inputs.delete(token),

  /**
   * Sends a message once, however often this is called with its id. Answers `{key, ack, result, code}`: how far it is,
   * and what sending it came to; `result` is null where nothing is known within that time.
   */
  deliver: async (what) => {
    let run = underWay.get(what.id);
    if (!run || Date.now() - run.since > STUCK_AFTER_MS) run = begin(what);
    const deadline = Date.now() + what.within_ms;
    for (;;) {
      const message = attempt(() => loadedMessage(run.chat, run.key));
      if (message && ackOf(message) > 0) run.end({ value: answerOf(message.id, ackOf(message)) });
      if (message && ackOf(message) < 0 && run.isOnItsWay) {
        const isLost = what.kind === 'file' && !attempt(() => message.directPath);
        run.end({ value: isLost ? answerOf(message.id, -1, 'ERROR_UPLOAD') : failed(run, null) });
      }
      if (run.done) {
        if (underWay.get(what.id) === run) underWay.delete(what.id);
        if (run.done.error) throw run.done.error;
        return run.done.value;
      }
      if (Date.now() > deadline) {
        if (run.lookOnly && !run.isOnItsWay) throw coded('search_timed_out');
        return answerOf(run.key ?? '', 0);
      }
      await Promise.race([run.ended, pause(LOOK_EVERY_MS)]);
    }
  },

  /** Sees to it that our reaction to a message is this one ('' for none). */
  react: async (messageKey, reaction) => {
    const before = await reactionThatIs(messageKey, reaction);
    if (before) return before;
    const sent = await WPP.chat.sendReactionToMessage(messageKey, reaction || false);
    const result = text(() => sent.sendMsgResult.messageSendResult ?? sent.sendMsgResult) ?? 'OK';
    const key = reactionKey(await ourReaction(messageKey));
    return answerOf(key, result === 'OK' ? 1 : -1, result, result === 'OK' ? null : refusal(sent));
  },

  /** As react, and changes nothing. */
  reactionIs: async (messageKey, reaction) =>
    (await reactionThatIs(messageKey, reaction)) ?? answerOf('', -1, 'NOT_FOUND'),

  knowsChat: (to) => Boolean(knownChat(to)),

  /** Whether the person of a private chat never wrote to this account, as far as the page can tell. */
  isStranger: async (to) => {
    if (!isPrivate(to)) return false;
    const chat = knownChat(to);
    if (!chat) return true;
    const theirs = (message) => !flag(() => message.id.fromMe) && !/notification|e2e|protocol/.test(message.type);
    if (chat.msgs.getModelsArray().some(theirs)) return false;
    const earlier = WPP.chat.getMessages(chat.id, { count: 100 }).catch(() => []);
    return !(await Promise.race([earlier, pause(1000).then(() => [])])).some(theirs);
  },

  /** The other addresses of the same person, as far as they are known. */
  aliases: async (to, ask) => {
    if (ask && isPrivate(to) && !to.endsWith('@lid') && !knownChat(to)) await addressOf(to);
    const addresses = new Set();
    for (const one of [to, asked.get(to)]) {
      const { lid, phone } = lidAndPhone(one ? attempt(() => WPP.whatsapp.WidFactory.createWid(one)) : null);
      for (const address of [lid, phone]) if (address !== null) addresses.add(address);
    }
    return [...addresses];
  },

  /** How far messages of ours have come: `[{id, ack, by}]`, in groups for each who received it. */
  acksOf: async (keys) => {
    const acks = [];
    for (const key of keys) {
      const message = WPP.whatsapp.MsgStore.get(key) ?? (await searched(key).catch(() => null));
      if (!message) continue;
      const { id } = message.id;
      acks.push({ id, ack: ackOf(message), by: null });
      if (isPrivate(String(message.id.remote))) continue;
      const info = await Promise.race([WPP.chat.getMessageACK(key).catch(() => null), pause(500)]);
      for (const one of info?.participants ?? []) {
        const ack = one.playedAt ? 4 : one.readAt ? 3 : one.deliveredAt ? 2 : 0;
        if (ack) acks.push({ id, ack, by: lidAndPhone(one.wid) });
      }
    }
    return acks;
  },
});

// Who received it, in groups. wa-js listens for that some seconds after the page is ready, and not for acks of others.
WPP.on(
  'chat.msg_ack_change',
  orTrouble('acknowledgement', ({ ack, sender, ids }) =>
    tell('acks', {
      acks: ids
        .filter((key) => key.fromMe)
        .map((key) => ({ id: key.id, ack, by: sender ? lidAndPhone(sender) : null })),
    }),
  ),
);

// How far the message itself is; in groups, how far all of them are.
WPP.on('loader.injected', () =>
  attempt(() =>
    WPP.whatsapp.MsgStore.on(
      'change:ack',
      orTrouble('acknowledgement', (message) => {
        if (message.id.fromMe && ackOf(message) > 1) tell('acks', { acks: [{ id: message.id.id, ack: ackOf(message) }] });
      }),
    ),
  ),
);
