/*
 * Whether the page tells of what its store gets. The store itself is looked at, whenever the agent asks for a snapshot:
 * the events are what may have failed.
 *
 * Unheard is a message that is news, for people, from somebody else, came while we listened, and of which the agent was
 * not told. It stands until it is told, or until one that came after it is: from then on the page tells, and what it
 * missed is the gap audit's, which is asked for as soon as a message was missed. A new document begins anew.
 */

const LOOKED_AT_MOST = 2000; // what else came between two looks counts as heard
const UNHEARD_AT_MOST = 200;
const LISTENS_AFTER_MS = 1000; // wa-js begins to listen a task after it has told that it is injected
const MISSED_AFTER_MS = 2000; // wa-js may take its time

const looked = new WeakSet(); // what a look has passed
const heard = new WeakSet(); // what wa-js has told us of, and we the agent
const unheard = new Map(); // oldest first: a message, since when, and whether it was counted as missed
let injectedAt = null;
let wasNormal = false; // at the last look
let storedAt = null;
let missed = 0;

const count = (entry) => {
  if (!entry.isMissed) missed += 1;
  entry.isMissed = true;
};

/** wa-js told of a message, and the agent was told, where it is to be told at all. */
const hear = (message, isTold) => {
  heard.add(message);
  if (!isTold) return;
  storedAt = performance.now();
  if (unheard.delete(message) || looked.has(message)) return;
  unheard.forEach(count);
  unheard.clear();
};

/** wa-js told of a message that cannot be read, and the agent was told of that: it judges by how many come in a row. */
const hearUnreadable = (message) => {
  heard.add(message);
  unheard.delete(message);
  storedAt = performance.now();
};

const isNews = (message) => message.isNewMsg === true && !message.id.fromMe && isForPeople(message);

// What comes while the page is syncing may be told late, or as history.
const isListening = (now) => {
  injectedAt ??= now;
  const isNormal = mode() === 'MAIN' && attempt(() => WPP.whatsapp.Stream.info) === 'NORMAL';
  const isSettled = isNormal && wasNormal && now - injectedAt > LISTENS_AFTER_MS;
  wasNormal = isNormal;
  return isSettled;
};

/** What came since the last look, newest first. History may be among it; the end of a store is where news comes. */
const since = (messages) => {
  const fresh = [];
  for (let at = messages.length - 1; at >= 0 && fresh.length < LOOKED_AT_MOST; at -= 1) {
    if (looked.has(messages[at])) break;
    fresh.push(messages[at]);
    looked.add(messages[at]);
  }
  return fresh;
};

const lookAtStore = () => {
  const now = performance.now();
  const fresh = since(attempt(() => WPP.whatsapp.MsgStore.getModelsArray(), []));
  if (isListening(now)) {
    const after = fresh.findIndex((message) => heard.has(message));
    fresh.forEach((message, at) => {
      if (heard.has(message) || !flag(() => isNews(message))) return;
      const isOutdone = after >= 0 && at > after; // one that came later was told
      if (!isOutdone) storedAt = now;
      if (isOutdone || unheard.size >= UNHEARD_AT_MOST) missed += 1;
      else unheard.set(message, { at: now, isMissed: false });
    });
  }
  for (const entry of unheard.values()) if (now - entry.at > MISSED_AFTER_MS) count(entry);
  const [oldest] = unheard.values();
  return {
    stored_ago_ms: storedAt === null ? null : now - storedAt,
    unheard_for_ms: oldest ? now - oldest.at : null,
    missed,
  };
};
