// What panels have in common: each is read once, then again while it is seen; what keeps it from being read is said,
// and what was read before stays.

import { byId, h } from './dom.js';
import { ApiError } from './api.js';
import { at, now } from './times.js';
import { live, on } from './live.js';

const SOON_MS = 300;
const AT_MOST_EVERY_MS = 2000;
const AGAIN_MS = 5000;
const TOLD_ABOVE = new Set(['unreachable', 'redis_away', 'unauthorized']); // by the state, for all panels

/** `load` asks, `show` draws what it gave. `soon` reads again. */
export function panel(id, { load, show, everyMs }) {
  const section = byId(id);
  let [isSeen, isReading, isWanted, hasFailed] = [false, false, false, false];
  let [triedAt, readAt, timer, note] = [0, null, 0, null];

  async function read() {
    isWanted = isReading;
    if (isReading) return;
    isReading = true;
    triedAt = Date.now();
    clearTimeout(timer);
    timer = 0;
    try {
      show(await load());
      readAt = now();
      complain(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      complain(error);
    } finally {
      isReading = false;
    }
    if (isWanted) await read();
  }

  function complain(error) {
    note?.remove();
    note = null;
    hasFailed = error !== null;
    if (error && (!readAt || !TOLD_ABOVE.has(error.code))) {
      const shown = readAt ? ` Shown is what was read at ${at(readAt)}.` : '';
      note = h('p', { class: 'note', 'data-level': 'warn' }, `Cannot be read. ${error.words}${shown}`);
      section.querySelector('h2').after(note);
    }
  }

  function soon() {
    if (!timer) timer = setTimeout(read, Math.max(SOON_MS, triedAt + AT_MOST_EVERY_MS - Date.now()));
  }

  const isOld = () => Date.now() - triedAt > (hasFailed ? Math.min(everyMs, AGAIN_MS) : everyMs);
  new IntersectionObserver(([entry]) => {
    isSeen = entry.isIntersecting;
    if (isSeen && isOld()) read();
  }, { rootMargin: '200px' }).observe(section);
  setInterval(() => {
    if ((isSeen || hasFailed) && !document.hidden && !live.connection.lost && isOld()) read();
  }, 1000);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && isSeen && isOld()) read();
  });
  on('resumed', soon);
  let hadRedis = true;
  on('status', ({ redis }) => {
    if (redis && !hadRedis) soon();
    hadRedis = redis;
  });
  read();
  return { soon, read };
}
