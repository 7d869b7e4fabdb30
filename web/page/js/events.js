// The latest events, as they come. Who has opened one, or scrolled, is not disturbed: new ones then wait.

import { byId, h, say } from './dom.js';
import { get } from './api.js';
import { at, ms, several } from './times.js';
import { on } from './live.js';
import { EVENT_GROUPS, eventLevel, eventWords, withoutSecrets } from './event_words.js';
import { panel } from './panel.js';

const SHOWN = 100;
const KEPT_MS = 5 * 60_000;

const kind = h('select', { id: 'event-kind', onchange: () => choose() },
  h('option', { value: '' }, 'All'),
  Object.entries(EVENT_GROUPS).map(([name, types]) => h('optgroup', { label: name },
    h('option', { value: types.join(' ') }, `${name}: all`),
    types.map((type) => h('option', { value: type }, type)))));
const words = h('input', { id: 'event-words', type: 'search', placeholder: 'word, chat or key', oninput: () => redraw() });
const more = h('button', { type: 'button', class: 'small', hidden: true, onclick: () => takeIn() });
const list = h('ul', { class: 'rows event' });
const box = h('div', { class: 'scroll tall', tabindex: 0, role: 'region', 'aria-label': 'Latest events' }, list);
const none = h('p', { class: 'soft', hidden: true }, 'No such event is kept.');

byId('events-body').replaceChildren(
  h('div', { class: 'tools' },
    h('label', { for: 'event-kind' }, 'Type', kind),
    h('label', { for: 'event-words' }, 'With', words),
    more),
  box, none);

let events = []; // newest first
let waiting = [];

const types = () => new Set(kind.value.split(' ').filter(Boolean));
const isWanted = (event) => !kind.value || types().has(event.type);

async function load() {
  const query = [...types()].map((type) => `&types=${type}`).join('');
  return get(`/api/events?limit=${SHOWN}${query}`);
}

function show(page) {
  const known = new Set(page.events.map(({ id }) => id));
  const since = [...waiting, ...events].filter((event) => !known.has(event.id) && isWanted(event) && page.events.length && newer(event, page.events.at(-1)));
  events = [...since, ...page.events.toReversed()].slice(0, SHOWN);
  waiting = [];
  redraw();
}

const newer = (event, than) => {
  const [[a, b], [c, d]] = [event.id.split('-').map(Number), than.id.split('-').map(Number)];
  return a > c || (a === c && b > d);
};

function choose() {
  events = [];
  waiting = [];
  list.replaceChildren();
  reading.read();
}

const isDisturbing = () => box.scrollTop > 8 || list.querySelector('details[open]') !== null;

let drawing = 0;

on('event', (event) => {
  if (!isWanted(event)) return;
  waiting = [event, ...waiting].slice(0, SHOWN);
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    if (!isDisturbing()) takeIn();
    else tellMore();
  });
});

function takeIn() {
  events = [...waiting, ...events].slice(0, SHOWN);
  waiting = [];
  redraw();
  if (document.activeElement === more) box.focus();
  box.scrollTop = 0;
}

function tellMore() {
  more.hidden = !waiting.length;
  say(more, `Show ${several(waiting.length, 'new event')}`);
}

function redraw() {
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const sought = words.value.trim().toLowerCase();
  const found = sought ? events.filter((event) => JSON.stringify(withoutSecrets(event)).toLowerCase().includes(sought)) : events;
  const wanted = found.map((event) => rows.get(event.id) ?? row(event));
  const stay = new Set(wanted);
  for (const old of rows.values()) if (!stay.has(old)) old.remove();
  wanted.forEach((one, place) => {
    if (list.children[place] !== one) list.insertBefore(one, list.children[place] ?? null);
  });
  none.hidden = wanted.length > 0;
  box.hidden = !wanted.length;
  tellMore();
}

function row(event) {
  const details = h('details', {},
    h('summary', {},
      h('time', { class: 'when', datetime: event.observed_at, title: event.observed_at }, at(ms(event.observed_at))),
      h('span', { class: 'type', 'data-level': eventLevel(event) }, event.type),
      h('span', { class: 'short' }, eventWords(event))));
  // What it holds may be personal: it is put on the page only for who opens it.
  details.addEventListener('toggle', () => {
    if (!details.open) return details.lastElementChild.matches('.inside') && details.lastElementChild.remove();
    if (details.querySelector('.inside')) return;
    details.append(h('div', { class: 'inside' },
      h('p', { class: 'soft' }, `Event ${event.id}, number ${event.seq}, start ${event.epoch}.`),
      h('pre', {}, h('code', {}, JSON.stringify(withoutSecrets(event).data, null, 2)))));
  });
  return h('li', { 'data-key': event.id }, details);
}

const reading = panel('events', { load, show, everyMs: KEPT_MS });
