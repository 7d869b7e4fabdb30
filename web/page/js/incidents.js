// What was wrong, which rungs were taken, and what cured it.

import { byId, h, mark, reconcile, say } from './dom.js';
import { get } from './api.js';
import { age, at, lasting, ms, took } from './times.js';
import { on } from './live.js';
import { panel } from './panel.js';
import { levelOf, reasonWords, verdictWords } from './words.js';

const SHOWN = 30;
const EVERY_MS = 30_000;
const TELLING = new Set(['alert', 'reset', 'restarted', 'ready', 'disconnected', 'state_changed']);
const RUNGS = {
  reset: 'new connection', reload: 'page loaded anew', restart_browser: 'browser restarted',
  restart_agent: 'agent restarted', hold: 'left alone, a person was told',
};
const list = h('ul', { class: 'rows' });
const rungName = (rung) => RUNGS[rung] ?? rung;

function cured(incident) {
  if (!incident.ended_at) return ['bad', 'not over'];
  if (incident.ended_as === 'left') return ['none', 'its container went away'];
  const by = incident.cured_by;
  const words = by === 'itself' ? 'over by itself' : by === 'person' ? 'cured by a person' : by ? `cured: ${rungName(by)}` : 'over';
  return incident.ended_as && incident.ended_as !== 'healthy'
    ? [levelOf(incident.ended_as), `ended: ${verdictWords(incident.ended_as).toLowerCase()}`]
    : ['good', words];
}

function row(incident) {
  const [level, end] = cured(incident);
  const lasted = incident.not_ready_s === null ? null : lasting(incident.not_ready_s * 1000);
  const chips = incident.rungs.map(({ rung, error, took_ms: ms_ }) => h('span', {
    class: 'chip', 'data-level': error ? 'bad' : 'none',
  }, rungName(rung), error ? ' ✗' : ms_ === null ? ' …' : ' ✓'));
  return h('li', { 'data-key': incident.id, 'data-of': JSON.stringify(incident) },
    h('details', {},
      h('summary', {},
        mark(level),
        h('span', {}, h('b', {}, verdictWords(incident.verdict)), `, ${end}${lasted ? ` after ${lasted}` : ''}`),
        h('span', { class: 'when' }, age(incident.found_at)),
        chips.length > 0 && h('span', { class: 'rungs' }, chips)),
      h('div', { class: 'inside' },
        h('p', {}, reasonWords(incident.reason).why),
        h('ol', {},
          h('li', {}, `${at(ms(incident.bad_since))}: it began (${incident.verdict}, ${incident.reason}).`),
          h('li', {}, `${at(ms(incident.found_at))}: the watchdog found it.`),
          incident.rungs.map((rung) => h('li', {}, `${at(ms(rung.at))}: ${rungName(rung.rung)}, for ${rung.cause}; ${outcome(rung)}.`)),
          incident.person_at && h('li', {}, `${at(ms(incident.person_at))}: a person restarted the agent.`),
          incident.ended_at && h('li', {}, `${at(ms(incident.ended_at))}: ${end}.`)),
        h('p', { class: 'soft' }, h('code', {}, incident.id), `, on ${incident.instance}`))));
}

function outcome({ took_ms: ms_, error }) {
  if (error) return `failed with ${error}`;
  return ms_ === null ? 'under way' : `carried out in ${took(ms_)}`;
}

function show(incidents) {
  if (!list.isConnected) byId('incidents-body').replaceChildren(list);
  const open = incidents.filter((one) => !one.ended_at).length;
  const day = incidents.filter((one) => Date.now() - ms(one.found_at) < 86_400_000).length;
  say(byId('incidents-count'), [open && `${open} not over`, `${day === SHOWN ? `${day} or more` : day} in 24 h`].filter(Boolean).join(', '));
  if (incidents.length) return reconcile(list, incidents.map(row));
  list.replaceChildren(h('li', { 'data-key': 'none', 'data-of': 'none' }, mark('good'), ' None is known.'));
}

const incidents = panel('incidents', { load: () => get(`/api/incidents?limit=${SHOWN}`), show, everyMs: EVERY_MS });
on('event', ({ type }) => TELLING.has(type) && incidents.soon());
