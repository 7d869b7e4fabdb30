// The server's time, whatever this machine's clock says; times, ages and sizes as a person reads them; and the tick
// that keeps them true.

import { h, say } from './dom.js';

// What it is ahead of this clock, in ms, lies between these; each answer narrows them.
let lowest = -Infinity;
let highest = Infinity;

/** The server's clock stood between `from` and `to` at some moment between `sent` and `received` of this one. */
export function learn(from, to, sent, received = Date.now()) {
  const [low, high] = [from - received, to - sent];
  if (low > highest || high < lowest) [lowest, highest] = [low, high]; // one of the two clocks was set
  else [lowest, highest] = [Math.max(low, lowest), Math.min(high, highest)];
}

/** From an answer's Date header, which has whole seconds and may be a second late. */
export function learnFrom(response, sent) {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) learn(date, date + 2000, sent);
}

/** Now, by the server's clock, in ms. */
export function now() {
  if (lowest <= 0 && highest >= 0) return Date.now();
  return Date.now() + (Number.isFinite(lowest + highest) ? (lowest + highest) / 2 : 0);
}

// -- in words ----------------------------------------------------------------------------------------------------------

const AT = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const HOUR = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

/** Milliseconds since 1970 of what the API tells: an RFC 3339 time, or epoch seconds. NaN for none. */
export const ms = (time) => (typeof time === 'number' ? time * 1000 : Date.parse(time ?? ''));

/** `4 s`, `3 min`, `2 h 5 min`, `3 d 4 h` */
export function lasting(duration) {
  const s = Math.max(0, Math.round(duration / 1000));
  if (s < 100) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const [hours, days] = [Math.floor(min / 60), Math.floor(min / 1440)];
  if (hours < 24) return min % 60 ? `${hours} h ${min % 60} min` : `${hours} h`;
  return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
}

/** `850 ms`, `1.2 s` */
export function took(duration) {
  return duration < 1000 ? `${Math.round(duration)} ms` : `${(duration / 1000).toFixed(duration < 10_000 ? 1 : 0)} s`;
}

/** `14:05:09`, with its day where that is not today's */
export function at(time) {
  const moment = new Date(time);
  return DAY.format(moment) === DAY.format(now()) ? AT.format(moment) : `${DAY.format(moment)}, ${AT.format(moment)}`;
}

export const atHour = (time) => HOUR.format(new Date(time));

/** `312 MB` */
export function size(bytes) {
  for (const [unit, of, digits] of [['GB', 1e9, 2], ['MB', 1e6, 0], ['kB', 1e3, 0]]) {
    if (bytes >= of) return `${(bytes / of).toFixed(bytes < of * 10 ? Math.max(1, digits) : digits)} ${unit}`;
  }
  return `${bytes} B`;
}

/** `1,204` */
export const count = (number) => number.toLocaleString('en-GB');

/** `1 event`, `2 events` */
export const several = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// -- what changes by itself ----------------------------------------------------------------------------------------

const FORMS = {
  ago: (time) => (now() - time < 1000 ? 'just now' : `${lasting(now() - time)} ago`),
  for: (time) => lasting(now() - time),
};

/** An element that tells how long ago (`ago`), or for how long (`for`), and by its title when. */
export function age(time, form = 'ago') {
  const moment = ms(time);
  if (Number.isNaN(moment)) return h('span', {}, 'never');
  const made = h('time', { datetime: new Date(moment).toISOString(), title: at(moment), 'data-age': form });
  made.textContent = FORMS[form](moment);
  return made;
}

const ticks = new Set();

/** Calls `tick` each second while the page is seen. */
export const everySecond = (tick) => ticks.add(tick);

function tickAll() {
  if (document.hidden) return;
  for (const one of document.querySelectorAll('time[data-age]')) {
    say(one, FORMS[one.dataset.age](Date.parse(one.dateTime)));
  }
  for (const tick of ticks) tick();
}
setInterval(tickAll, 1000);
document.addEventListener('visibilitychange', tickAll);
