// How much waits, and for whom.

import { byId, h, mark, say } from './dom.js';
import { get } from './api.js';
import { age, count, ms, now, several } from './times.js';
import { panel } from './panel.js';
import { tiles } from './tiles.js';

const EVERY_MS = 10_000;
const SHOWN = 20;
const OLD_SEND_MS = 10 * 60_000;
const BEHIND = 1000;

const parts = {
  stopped: h('p', { class: 'note', 'data-level': 'bad', role: 'status', hidden: true }),
  tiles: h('dl', { class: 'tiles' }),
  groups: h('tbody'),
  none: h('p', { class: 'soft' }, 'No backend reads the events as a consumer group.'),
  sends: h('tbody'),
};
parts.groupTable = h('table', {},
  h('caption', {}, 'Backends, by their consumer group'),
  h('thead', {}, h('tr', {}, ['Group', 'To be acknowledged', 'Not given yet'].map((head) => h('th', { scope: 'col' }, head)))),
  parts.groups);
parts.sendTable = h('table', {},
  h('caption', {}, 'Messages to be sent, oldest first'),
  h('thead', {}, h('tr', {}, ['Key', 'Waits', 'Why'].map((head) => h('th', { scope: 'col' }, head)))),
  parts.sends);

function show([queues, sends]) {
  if (!parts.tiles.isConnected) {
    byId('queues-body').replaceChildren(parts.stopped, parts.tiles, parts.groupTable, parts.none, parts.sendTable);
  }
  parts.stopped.hidden = !sends.stopped;
  say(parts.stopped, sends.stopped ? `Nothing is sent at present: ${sends.stopped}. whatsapp-container sends resume.` : '');
  tiles(parts.tiles, [
    ['Events kept', queues.events],
    ['Sends open', queues.sends_open, queues.sends_stopped ? 'bad' : null],
    ...Object.entries(queues.tasks).map(([name, waiting]) => [`Tasks: ${name}`, waiting, waiting > 50 ? 'warn' : null]),
  ]);
  parts.groupTable.hidden = !queues.groups.length;
  parts.none.hidden = queues.groups.length > 0;
  parts.groups.replaceChildren(...queues.groups.map(({ name, unacknowledged, waiting }) => {
    const level = unacknowledged + (waiting ?? 0) > BEHIND ? 'warn' : 'none';
    return h('tr', { 'data-level': level },
      h('th', { scope: 'row' }, level === 'warn' && [mark('warn'), ' '], name),
      h('td', {}, count(unacknowledged)),
      h('td', {}, waiting === null ? 'not known' : count(waiting)));
  }));
  parts.sendTable.hidden = !sends.sends.length;
  parts.sends.replaceChildren(...sends.sends.map((send) => h('tr', {},
    h('th', { scope: 'row' }, h('code', {}, send.idempotency_key), h('span', { class: 'detail' }, send.kind)),
    h('td', {}, now() - ms(send.accepted_at) > OLD_SEND_MS && [mark('warn'), ' '], age(send.accepted_at, 'for')),
    h('td', {}, send.detail ?? send.error ?? 'its turn', h('span', { class: 'detail' }, several(send.attempts, 'try', 'tries'))))));
}

panel('queues', {
  load: () => Promise.all([get('/api/queues'), get(`/api/messages?limit=${SHOWN}`)]),
  show,
  everyMs: EVERY_MS,
});
