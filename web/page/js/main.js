// The session's state, in words: above the panels, in the tab's title and in its icon. It comes first, with what the page
// was served with; then the panels, each in a module of its own.

import { body, byId, h, say } from './dom.js';
import { live, on, start } from './live.js';
import { age, at, everySecond, ms, now } from './times.js';
import { describe, STATES } from './words.js';

const PANELS = [
  'qr', 'pairing', 'actions', 'evidence', 'history', 'incidents', 'queues', 'media', 'webhooks', 'events', 'snapshots',
  'about',
];
const COLOURS = { good: '#1a9c66', person: '#2f74d0', warn: '#d68a00', bad: '#d0213d', none: '#888' };
const SHAPES = {
  good: "<circle cx='8' cy='8' r='7'/>",
  person: "<rect x='1' y='1' width='14' height='14' rx='4'/>",
  warn: "<path d='M8 1l7 14H1z'/>",
  bad: "<path d='M5 1h6l4 4v6l-4 4H5l-4-4V5z'/>",
  none: "<circle cx='8' cy='8' r='5'/>",
};

let shown = '';

function show() {
  const { status, agent, connection } = live;
  if (!status && !connection.lost) return;
  const told = connection.lost
    ? {
        level: 'bad', title: connection.text, since: connection.since / 1000, form: 'state',
        why: agent ? `The last that is known is “${STATES[agent.state] ?? agent.state}”.` : '',
        todo: connection.text === 'Signed out' ? null : 'This page tries on and on, and goes on by itself.',
      }
    : describe(agent, status.redis, now());
  const key = JSON.stringify(told);
  if (key === shown) return;
  shown = key;
  byId('state').dataset.level = told.level;
  byId('state-icon').setAttribute('href', `#i-${told.level}`);
  say(byId('state-title'), told.title);
  say(byId('state-why'), told.why);
  byId('state-since').replaceChildren(...since(told));
  byId('state-todo').hidden = !told.todo;
  say(byId('state-todo'), told.todo ?? '');
  document.title = `${told.title} · ${body.dataset.session}`;
  const icon = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='${COLOURS[told.level]}'>${SHAPES[told.level]}</svg>`;
  byId('favicon').href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
}

const SINCE = {
  state: ['Since ', ', for ', 'for'],
  silent: ['Last heard at ', ', silent for ', 'for'],
  last: ['Last heard at ', ', ', 'ago'],
};

function since({ since: moment, form }) {
  if (!moment) return [' '];
  const [before, between, ageForm] = SINCE[form];
  return [h('span', {}, `${before}${at(ms(moment))}${between}`), age(moment, ageForm)];
}

on('status', () => {
  show();
  const operation = live.status?.redis ? live.agent?.operation : null;
  byId('state-operation').hidden = !operation;
  if (operation) say(byId('state-operation'), `Under way: ${operation.replaceAll('_', ' ')}.`);
});
on('connection', () => (live.isOld && !live.connection.lost) || show());
everySecond(() => live.isOld || show());

// -- from here on --------------------------------------------------------------------------------------------------------

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
