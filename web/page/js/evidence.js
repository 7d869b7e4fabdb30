// What "healthy" stands on: each fact with its age, which goes amber and red by itself.

import { byId, h, mark } from './dom.js';
import { age, everySecond, ms, now, size, took } from './times.js';
import { live, on } from './live.js';

const S = 1000;
const MIN = 60 * S;
const JUDGED = { good: 'fresh', warn: 'late', bad: 'too old', none: '' };

// `late` and `old` are the ages, in ms, from which a fact is amber and red; they are those of docs/health.md.
const FACTS = [
  { name: 'Agent heard', at: 'heartbeat_at', late: 12 * S, old: 20 * S, detail: (a) => a.loop_lag_ms > 1000 && `held up for ${took(a.loop_lag_ms)}` },
  { name: 'Browser heard', at: 'browser_seen_at', late: 15 * S, old: 30 * S },
  { name: 'Page answered', at: 'page_seen_at', late: 15 * S, old: 30 * S, detail: (a) => a.page_took_ms !== null && `in ${took(a.page_took_ms)}` },
  {
    name: 'WhatsApp’s server heard', at: (a) => newest(a.frame_seen_at, a.link_answered_at), when: isLinked,
    late: (a) => (a.link_asked_after_s ?? 60) * S, old: (a) => Math.max(120, 2 * (a.link_asked_after_s ?? 0) + 10) * S,
    detail: (a) => a.link_asked_at && ms(a.link_asked_at) > ms(a.frame_seen_at) && 'asked, since it was silent',
  },
  { name: 'Last message told', at: 'message_event_at', when: isLinked },
  {
    name: 'Session saved', at: 'session_saved_at', when: isLinked, late: 20 * MIN, old: 120 * MIN,
    detail: (a) => [a.session_problem, a.session_bytes && size(a.session_bytes)].filter(Boolean).join(', '),
  },
  { name: 'Memory of the browser', value: memory },
  { name: 'Site does not answer', at: 'site_silent_since', is: 'warn', form: 'for' },
  { name: 'Browser has no way to the site', at: 'browser_offline_since', is: 'bad', form: 'for' },
  { name: 'A message was not told', at: 'unheard_since', is: 'bad', form: 'for' },
  { name: 'Calls that do not work', value: (a) => a.broken_calls?.length > 0 && ['warn', a.broken_calls.join(', ')] },
  { name: 'Events that did not fit', value: (a) => a.dropped_events > 0 && ['warn', String(a.dropped_events)] },
  { name: 'Browser is left alone until', value: (a) => ms(a.held_until) > now() && ['warn', new Date(a.held_until).toLocaleTimeString('en-GB')] },
];

function isLinked(agent) {
  return ['ready', 'syncing', 'disconnected'].includes(agent.state);
}

function newest(...times) {
  return times.filter(Boolean).sort((a, b) => ms(b) - ms(a))[0] ?? null;
}

function memory(agent) {
  if (agent.memory_bytes === null) return null;
  const limit = agent.memory_limit_bytes;
  const share = limit ? agent.memory_bytes / limit : 0;
  const level = share > 1 ? 'bad' : share > 0.9 ? 'warn' : 'good';
  return [level, limit ? `${size(agent.memory_bytes)} of ${size(limit)}` : size(agent.memory_bytes)];
}

const ROWS = FACTS.map((fact) => {
  const [value, judged] = [h('td'), h('td')];
  return { fact, value, judged, row: h('tr', { hidden: true }, h('th', { scope: 'row' }, fact.name), value, judged) };
});
byId('evidence-rows').append(...ROWS.map(({ row }) => row));

const of = (given, agent) => (typeof given === 'function' ? given(agent) : given);

/** [level, time or text, detail], or null where there is nothing to show. */
function read(fact, agent) {
  if (fact.value) return of(fact.value, agent) || null;
  if (fact.when && !fact.when(agent)) return null;
  const time = typeof fact.at === 'string' ? agent[fact.at] : fact.at(agent);
  if (fact.is) return time ? [fact.is, time] : null;
  return [levelAt(fact, agent, time), time, of(fact.detail, agent) || ''];
}

function levelAt(fact, agent, time) {
  if (!time || !fact.late) return 'none';
  const old = now() - ms(time);
  return old > of(fact.old, agent) ? 'bad' : old > of(fact.late, agent) ? 'warn' : 'good';
}

function show() {
  const { agent } = live;
  if (!agent) return;
  for (const { fact, row, value, judged } of ROWS) {
    const found = read(fact, agent);
    row.hidden = !found;
    if (!found) continue;
    const [level, what, detail] = found;
    const key = `${what} ${detail}`;
    if (row.dataset.of !== key) {
      row.dataset.of = key;
      value.replaceChildren(fact.value ? what : age(what, fact.form), detail ? h('small', {}, detail) : '');
    }
    if (row.dataset.level !== level || !judged.hasChildNodes()) {
      row.dataset.level = level;
      const words = fact.value ? { good: 'fits', warn: 'look', bad: 'too much' }[level] : fact.is ? 'look' : JUDGED[level];
      judged.replaceChildren(...(level === 'none' ? [] : [mark(level), ` ${words}`]));
    }
  }
}

on('status', show);
everySecond(() => live.isOld || show());
