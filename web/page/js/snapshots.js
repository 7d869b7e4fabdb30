// The session's snapshots in their store. The store is asked only when somebody wants to know: it takes a process.

import { byId, canAct, h, mark, say } from './dom.js';
import { ApiError, get, post } from './api.js';
import { age, several, size } from './times.js';
import { live, on } from './live.js';

const parts = {
  last: h('p'),
  ask: h('button', { type: 'button', class: 'small', onclick: () => load() }, 'List the snapshots'),
  said: h('p', { class: 'said', role: 'status' }),
  rows: h('tbody'),
};
parts.table = h('table', { hidden: true },
  h('caption', {}, 'Newest first; each was read back when it was stored'),
  h('thead', {}, h('tr', {}, ['Made', 'Why', 'Size', ...(canAct ? ['Verify'] : [])].map((head) => h('th', { scope: 'col' }, head)))),
  parts.rows);
byId('snapshots-body').replaceChildren(parts.last,
  h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Snapshots', hidden: true }, parts.table),
  h('p', { class: 'bar more' }, parts.ask), parts.said);

let shown = '';

on('status', () => {
  const { agent } = live;
  if (!agent) return;
  const key = [agent.state, agent.session_saved_at, agent.session_verified_at, agent.session_problem, agent.session_generation].join();
  if (key === shown) return;
  shown = key;
  if (agent.session_problem) {
    parts.last.replaceChildren(mark('bad'), ` It can be neither saved nor restored at present: ${agent.session_problem}.`);
  } else if (agent.session_saved_at) {
    parts.last.replaceChildren(mark('good'), ' Saved ', age(agent.session_saved_at),
      agent.session_verified_at ? ', verified ' : '', agent.session_verified_at ? age(agent.session_verified_at) : '',
      agent.session_bytes ? `, ${size(agent.session_bytes)}.` : '.');
  } else {
    const isLinked = !['awaiting_scan', 'logged_out'].includes(agent.state);
    parts.last.replaceChildren(mark('none'), isLinked ? ' Not saved yet.' : ' No phone is linked: there is nothing to save.');
  }
});

async function load() {
  if (parts.ask.getAttribute('aria-busy')) return;
  parts.ask.setAttribute('aria-busy', 'true');
  tell('Asking the store…');
  try {
    const { store, generations } = await get('/api/sessions', 40_000);
    parts.rows.replaceChildren(...generations.map(row));
    parts.table.hidden = !generations.length;
    parts.table.parentElement.hidden = !generations.length;
    tell(`${several(generations.length, 'snapshot')} in ${store}.`);
    parts.ask.textContent = 'List them again';
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tell(error.words, 'bad');
  }
  parts.ask.removeAttribute('aria-busy');
}

function row(one) {
  const verified = h('span', { class: 'detail' }, 'verified ', age(one.verified_at));
  return h('tr', {},
    h('th', { scope: 'row', title: one.id }, age(one.created_at), verified),
    h('td', {}, one.cause, h('span', { class: 'detail' }, `start ${one.epoch}`)),
    h('td', {}, size(one.stored_bytes), h('span', { class: 'detail' }, several(one.files, 'file'))),
    canAct ? h('td', {}, h('button', {
      type: 'button', class: 'small', 'aria-label': `Verify ${one.id}`,
      onclick: ({ currentTarget }) => verify(currentTarget, one.id, verified),
    }, 'Verify')) : '');
}

async function verify(button, generation, verified) {
  if (button.getAttribute('aria-busy')) return;
  button.setAttribute('aria-busy', 'true');
  tell('Reading it back and opening it…');
  try {
    const { files, bytes } = await post('/api/sessions/verify', { generation }, 310_000);
    verified.replaceChildren(mark('good'), ' read back just now');
    tell(`Whole: ${several(files, 'file')}, ${size(bytes)}.`, 'good');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 409 && error.code !== 'busy') verified.replaceChildren(mark('bad'), ' not whole');
    tell(error.words, 'bad');
  }
  button.removeAttribute('aria-busy');
}

function tell(text, level) {
  if (level) parts.said.dataset.level = level;
  else delete parts.said.dataset.level;
  say(parts.said, text);
}
