// Where events are delivered to by HTTP, and those that could not be. Not shown where no endpoint is set up.

import { byId, canAct, h, mark, say } from './dom.js';
import { ApiError, get, post } from './api.js';
import { age, count, several } from './times.js';
import { panel } from './panel.js';

const EVERY_MS = 15_000;
const section = byId('webhooks');

const parts = {
  endpoints: h('tbody'),
  dead: h('tbody'),
  said: h('p', { class: 'said', role: 'status' }),
  all: h('button', { type: 'button', class: 'small', onclick: () => replay(parts.all, null) }, 'Replay all'),
};
const heads = (names) => h('thead', {}, h('tr', {}, names.map((head) => h('th', { scope: 'col' }, head))));
parts.deadTable = h('table', {}, h('caption', {}, 'Dead letters'), heads(['Event', 'Why', ...(canAct ? ['Again'] : [])]), parts.dead);

async function load() {
  const [endpoints, dead] = await Promise.all([get('/api/webhooks'), get('/api/webhooks/dead')]);
  return { endpoints, dead: dead.map((letter) => ({ ...letter, event: JSON.parse(letter.body) })) };
}

function show({ endpoints, dead }) {
  section.hidden = !endpoints.length && !dead.length;
  if (!parts.said.isConnected) {
    byId('webhooks-body').replaceChildren(
      h('table', {}, h('caption', { class: 'out' }, 'Endpoints'), heads(['Endpoint', 'Delivered', 'Behind', 'Dead']), parts.endpoints),
      h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Deliveries that failed' }, parts.deadTable),
      canAct ? h('p', { class: 'bar more' }, parts.all) : '', parts.said);
  }
  parts.endpoints.replaceChildren(...endpoints.map((one) => h('tr', {},
    h('th', { scope: 'row' }, mark(one.failing_since ? 'bad' : 'good'), ` ${one.host}`,
      h('span', { class: 'detail' }, one.failing_since
        ? ['failing for ', age(one.failing_since, 'for'), one.error ? `: ${one.error}` : '']
        : one.succeeded_at ? ['last delivered ', age(one.succeeded_at)] : 'nothing delivered yet')),
    h('td', {}, count(one.delivered)),
    h('td', {}, one.behind === null ? 'not known' : count(one.behind)),
    h('td', {}, count(one.dead)))));
  parts.deadTable.parentElement.hidden = !dead.length;
  parts.all.hidden = !dead.length;
  parts.dead.replaceChildren(...dead.map((one) => h('tr', {},
    h('th', { scope: 'row' }, one.event.type, h('span', { class: 'detail' }, h('code', {}, one.event.id), ', given up ', age(one.died_at))),
    h('td', {}, mark('bad'), ` ${one.reason}`, h('span', { class: 'detail' }, several(one.attempts, 'try', 'tries'))),
    canAct ? h('td', {}, h('button', {
      type: 'button', class: 'small', 'aria-label': `Replay ${one.event.type} ${one.event.id}`,
      onclick: ({ currentTarget }) => replay(currentTarget, [one.id]),
    }, 'Replay')) : '')));
}

async function replay(button, ids) {
  if (button.getAttribute('aria-busy')) return;
  button.setAttribute('aria-busy', 'true');
  try {
    await post('/api/webhooks/replay', { ids });
    parts.said.dataset.level = 'good';
    say(parts.said, ids ? 'It will be delivered again.' : 'All will be delivered again.');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    parts.said.dataset.level = 'bad';
    say(parts.said, error.words);
  }
  button.removeAttribute('aria-busy');
  hooks.read();
}

const hooks = panel('webhooks', { load, show, everyMs: EVERY_MS });
