// The state comes first, with what the page was served with; then the panels, each in a module of its own.

import { body, byId } from './dom.js';
import { start } from './live.js';
import './state.js';

const PANELS = [
  'qr', 'pairing', 'actions', 'evidence', 'history', 'incidents', 'queues', 'media', 'webhooks', 'events', 'snapshots',
  'about',
];

if (body.dataset.role !== 'act') {
  byId('role').textContent = 'looking only';
  for (const one of document.querySelectorAll('[data-act]')) one.remove();
}
start(JSON.parse(byId('first').textContent));
performance.mark('first state');

const loaded = await Promise.allSettled(PANELS.map((name) => import(`./${name}.js`)));
const failed = loaded.filter(({ status }) => status === 'rejected');
if (failed.length) {
  for (const { reason } of failed) console.error(reason);
  const { warn } = await import('./banner.js');
  warn('A part of this page could not be loaded: the service was updated, or the connection broke.');
}
body.dataset.loaded = 'yes';
