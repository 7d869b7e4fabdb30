// What is made of the minutes of the last 24 hours. Pure.

import { atHour, lasting } from './format.js';
import { levelOf } from './words.js';

export const SEGMENT_MS = 300_000;
export const SEGMENTS = 288;

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
export function spans(segments) {
  const found = [];
  for (const { from, level, verdict, reason } of segments) {
    if (level === 'good' || level === 'none') continue;
    const last = found.at(-1);
    if (last && last.from + last.lasts === from && last.verdict === verdict) last.lasts += SEGMENT_MS;
    else found.push({ from, lasts: SEGMENT_MS, level, verdict, reason });
  }
  return found.reverse();
}

/** In a sentence, for those who do not see the strip, and for those who do. */
export function summary(segments) {
  const checked = segments.filter(({ level }) => level !== 'none');
  if (!checked.length) return 'Nothing was checked in the last 24 hours.';
  const good = checked.filter(({ level }) => level === 'good').length;
  const share = `Healthy in ${percent(good / checked.length)} of the ${lasting(checked.length * SEGMENT_MS)} that were checked`;
  const bad = spans(segments).filter(({ level }) => level === 'bad');
  if (!bad.length) return `${share}; never unwell.`;
  const time = lasting(bad.reduce((total, { lasts }) => total + lasts, 0));
  return `${share}; not well in ${time}, last at ${atHour(bad[0].from)}.`;
}

const percent = (share) => (share === 1 ? '100 %' : `${Math.min(99.9, share * 100).toFixed(1)} %`);
