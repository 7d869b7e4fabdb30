// What is made of the minutes of the last 24 hours. Pure.

import { atHour, lasting } from './times.js';
import { levelOf } from './words.js';

export const SEGMENT_MS = 300_000;
export const SEGMENTS = 288;
const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

const ORDER = ['none', 'good', 'person', 'warn', 'bad'];
const worst = (found, one) => (ORDER.indexOf(one.level) > ORDER.indexOf(found.level) ? one : found);
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? null;
const most = (values) => (values.length ? Math.max(...values) : null);
const known = (values) => values.filter((value) => value !== null && value !== undefined);

/** Segments of five minutes, up to `now`: {from, level, verdict, reason, checks, bad, p50, max, memory} of the worst in
 * each; without checks its level is `none` and what was not measured null. */
export function by(minutes, now) {
  const end = Math.floor(now / SEGMENT_MS) + 1;
  const of = new Map();
  for (const minute of minutes) {
    const place = Math.floor(Date.parse(minute.at) / SEGMENT_MS) - (end - SEGMENTS);
    if (place >= 0 && place < SEGMENTS) of.set(place, [...(of.get(place) ?? []), minute]);
  }
  return Array.from({ length: SEGMENTS }, (_, place) => together((end - SEGMENTS + place) * SEGMENT_MS, (of.get(place) ?? [])
    .map((minute) => ({
      level: levelOf(minute.verdict), verdict: minute.verdict, reason: minute.reason, checks: minute.checks,
      bad: minute.bad, p50: minute.p50_ms, max: minute.max_ms, memory: minute.memory_bytes,
    }))));
}

function together(from, found) {
  const { level, verdict, reason } = found.reduce(worst, { level: 'none', verdict: '', reason: '' });
  const sum = (name) => found.reduce((total, one) => total + one[name], 0);
  const all = (name) => known(found.map((one) => one[name]));
  return {
    from, level, verdict, reason, checks: sum('checks'), bad: sum('bad'),
    p50: median(all('p50')), max: most(all('max')), memory: most(all('memory')),
  };
}

/** The same, by the hour, newest first. */
export function hours(segments) {
  const of = new Map();
  for (const segment of segments) {
    const hour = Math.floor(segment.from / 3_600_000) * 3_600_000;
    of.set(hour, [...(of.get(hour) ?? []), segment]);
  }
  return [...of].map(([from, found]) => together(from, found)).reverse();
}

/** The times in which it was not healthy though it was checked, newest first: {from, lasts, level, verdict, reason}. */
export function spans(minutes) {
  const found = [];
  for (const { at, verdict, reason } of minutes) {
    const level = levelOf(verdict);
    if (level === 'good') continue;
    const from = Date.parse(at);
    const last = found.at(-1);
    if (last && last.from + last.lasts === from && last.verdict === verdict) last.lasts += MINUTE_MS;
    else found.push({ from, lasts: MINUTE_MS, level, verdict, reason });
  }
  return found.reverse();
}

/** For how long it was at each level, in ms; `none` is the time without checks. */
export function times(minutes) {
  const found = { good: 0, person: 0, warn: 0, bad: 0 };
  for (const { verdict } of minutes) found[levelOf(verdict)] += MINUTE_MS;
  return { ...found, none: Math.max(0, DAY_MINUTES - minutes.length) * MINUTE_MS };
}

/** In a sentence, for those who do not see the strip, and for those who do. */
export function summary(minutes) {
  if (!minutes.length) return 'Nothing was checked in the last 24 hours.';
  const { good, bad } = times(minutes);
  const checked = minutes.length * MINUTE_MS;
  const share = `Healthy in ${percent(good / checked)} of the ${lasting(checked)} that were checked`;
  if (!bad) return `${share}; never unwell.`;
  const last = spans(minutes).find(({ level }) => level === 'bad');
  return `${share}; not well in ${lasting(bad)}, last at ${atHour(last.from)}.`;
}

const percent = (share) => (share === 1 ? '100 %' : `${Math.min(99.9, share * 100).toFixed(1)} %`);
