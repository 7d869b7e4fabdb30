// One connection for all that comes by itself: the status and the events. Broken, it is made anew, and meanwhile the
// status is asked for, since that is answered while Redis is away, too.

import { body, byId, say } from './dom.js';
import { at, learn, now } from './times.js';

const TYPES = [
  'qr', 'authenticated', 'ready', 'auth_failure', 'disconnected', 'state_changed', 'message', 'media', 'message_ack',
  'session_saved', 'session_restored', 'reset', 'restarted', 'alert',
];
const QUIET_MS = 20_000; // a status comes every five seconds while an agent lives; after that it is asked for
const AGAIN_FIRST_MS = 500;
const AGAIN_AT_MOST_MS = 8000;

/** A tab that nobody looks at gives up its connection after `restsAfterMs`: over HTTP/1.1 a browser has six for a host,
 * and a seventh tab would not even be loaded. For its title and icon it asks every `asksEveryMs`. */
export const options = { restsAfterMs: 30_000, asksEveryMs: 60_000 };

const listeners = { status: new Set(), event: new Set(), connection: new Set(), resumed: new Set() };

/** `status` and `connection` are told at once, too, where they are known; `resumed` when what was asked for is old.
 * Gives what ends it. */
export function on(what, listener) {
  listeners[what].add(listener);
  if (what === 'status' && live.status) listener(live.status);
  if (what === 'connection') listener(live.connection);
  return () => listeners[what].delete(listener);
}

/** What is known now. `agent` is the last that was told, also while Redis is away. */
export const live = {
  status: null, // {redis, agent, qr}
  agent: null,
  connection: { level: 'none', since: null, lost: false },
  isOld: false, // nobody looked, and the status was not renewed since: its ages say nothing of the agent
};

let source = null;
let lastId = null;
let heardAt = 0;
let wait = AGAIN_FIRST_MS;
let timer = 0;
let signedOut = false;
let isResting = false;
let unseen = 0; // the timer of a hidden tab: first to rest, then to ask

/** Begins with what the page was served with. */
export function start({ now: served, status }) {
  learn(Date.parse(served), Date.parse(served), performance.timeOrigin);
  if (status) take(status);
  if (document.hidden) rest();
  else connect();
  setInterval(() => {
    if (!document.hidden && Date.now() - heardAt > QUIET_MS) askInstead();
  }, 5000);
  document.addEventListener('visibilitychange', seenOrNot);
  addEventListener('online', again);
  addEventListener('pageshow', (event) => event.persisted && again());
}

function seenOrNot() {
  clearTimeout(unseen);
  if (document.hidden) unseen = setTimeout(rest, options.restsAfterMs);
  else if (isResting) goOn();
  else if (Date.now() - heardAt > QUIET_MS / 2) askInstead();
}

function rest() {
  if (signedOut) return;
  isResting = live.isOld = true;
  clearTimeout(timer);
  source?.close();
  told('warn', 'Resting while nobody looks', false);
  unseen = setTimeout(askUnseen, options.asksEveryMs);
}

async function askUnseen() {
  await askInstead();
  if (isResting && !signedOut) unseen = setTimeout(askUnseen, options.asksEveryMs);
}

function goOn() {
  isResting = false;
  again(); // with what came meanwhile, and how it stands now
}

function connect() {
  clearTimeout(timer);
  source?.close();
  heardAt = Date.now();
  const made = new EventSource(`/api/events/stream?status=true${lastId ? `&after=${lastId}` : ''}`);
  source = made;
  made.addEventListener('open', () => {
    wait = AGAIN_FIRST_MS;
    connected();
  });
  made.addEventListener('error', () => {
    if (made !== source) return;
    made.close(); // it would try again by itself, but never after an answer with an error
    later();
    askInstead();
  });
  made.addEventListener('status', ({ data }) => {
    heardAt = Date.now();
    take(JSON.parse(data));
  });
  for (const type of TYPES) {
    made.addEventListener(type, ({ data, lastEventId }) => {
      heardAt = Date.now();
      lastId = lastEventId || lastId;
      const event = JSON.parse(data);
      for (const listener of listeners.event) listener(event);
    });
  }
}

function again() {
  wait = AGAIN_FIRST_MS;
  if (!signedOut && !isResting) connect();
}

function later() {
  clearTimeout(timer);
  if (signedOut || isResting) return;
  timer = setTimeout(connect, wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, AGAIN_AT_MOST_MS);
}

let isAsking = false;

async function askInstead() {
  if (isAsking || signedOut) return;
  isAsking = true;
  try {
    const { get } = await import('./api.js'); // not needed for the first state
    const answered = await get('/api/status', 8000);
    if (answered.agent) delete answered.agent.heartbeat_age_s;
    const isNews = JSON.stringify(answered) !== JSON.stringify(live.status);
    if (isResting) told('warn', 'Resting while nobody looks', false); // first: that the service is lost is over
    take(answered);
    heardAt = Date.now();
    if (isResting) return;
    if (source.readyState !== EventSource.OPEN) told('warn', 'Asking again and again', false);
    else if (isNews) connect(); // a connection that is open and says nothing of it is none
  } catch (error) {
    if (error.code === 'unauthorized') await leave();
    else if (error.code && error.code !== 'unreachable') told('bad', 'The service is in trouble', true);
    else told('bad', 'The service does not answer', true);
  } finally {
    isAsking = false;
  }
}

function connected() {
  const wasLost = live.connection.level !== 'none';
  told('good', 'Live', false);
  if (wasLost) for (const listener of listeners.resumed) listener();
}

async function leave() {
  signedOut = true;
  source?.close();
  told('bad', 'Signed out', true);
  const { warn } = await import('./banner.js');
  warn('You are signed out: what is shown here is old.', '/', 'Sign in');
}

function take(status) {
  live.status = status;
  if (!isResting) live.isOld = false;
  if (status.agent) live.agent = status.agent;
  for (const listener of listeners.status) listener(status);
}

function told(level, text, lost) {
  const { connection } = live;
  if (connection.level === level && connection.text === text) return;
  const since = lost && connection.lost ? connection.since : now();
  live.connection = { level, text, lost, since };
  byId('live').dataset.level = level;
  say(byId('live-text'), level === 'good' ? text : `${text}, since ${at(since)}`);
  body.toggleAttribute('data-lost', lost);
  for (const listener of listeners.connection) listener(live.connection);
}
