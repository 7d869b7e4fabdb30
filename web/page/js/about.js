// What it is made of, at the foot. A service that was updated meanwhile is told.

import { byId, h } from './dom.js';
import { age } from './times.js';
import { on } from './live.js';

const WHAT = [
  ['Service', 'service_version'],
  ['Browser', 'browser_version'],
  ['WhatsApp Web', 'whatsapp_web_version'],
  ['wa-js', 'wa_js_version'],
  ['Container', 'instance'],
  ['Agent’s start', 'epoch'],
  ['Store', 'session_store'],
];

let shown = '';
let version = null;

on('status', async ({ agent }) => {
  if (!agent) return;
  const key = JSON.stringify([...WHAT.map(([, name]) => agent[name]), agent.started_at]);
  if (key === shown) return;
  shown = key;
  const rows = WHAT.filter(([, name]) => agent[name]).map(([words, name]) => row(words, String(agent[name])));
  byId('about').replaceChildren(...rows, row('Running for', age(agent.started_at, 'for')));
  if (version && agent.service_version && agent.service_version !== version) {
    const { warn } = await import('./banner.js');
    warn('The service was updated since this page was loaded.');
  }
  version ??= agent.service_version;
});

function row(words, what) {
  return h('div', {}, h('dt', {}, words), h('dd', {}, what));
}
