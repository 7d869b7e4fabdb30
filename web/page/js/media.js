// The ledger of photos and files, and its dead letters, which can be tried again.

import { byId, canAct, h, mark, say } from './dom.js';
import { ApiError, get, post } from './api.js';
import { age, several, size } from './times.js';
import { on } from './live.js';
import { panel } from './panel.js';
import { tiles } from './tiles.js';

const EVERY_MS = 15_000;
const SHOWN = 30;
const ERRORS = {
  too_large: 'larger than is fetched',
  gone: 'WhatsApp has it no more, nor the sender’s phone',
  corrupt: 'it is not what its hash says',
  unfetchable: 'no try worked',
};

const parts = {
  tiles: h('dl', { class: 'tiles' }),
  said: h('p', { class: 'said', role: 'status' }),
  all: h('button', { type: 'button', class: 'small', onclick: () => retry(parts.all) }, 'Try all again'),
  failed: h('tbody'),
  due: h('tbody'),
  well: h('p', { class: 'soft' }),
};
parts.failedTable = h('table', {},
  h('caption', {}, 'Dead letters, newest first'),
  h('thead', {}, h('tr', {}, ['File', 'Why', canAct && 'Again'].filter(Boolean).map((head) => h('th', { scope: 'col' }, head)))),
  parts.failed);
parts.dueTable = h('table', {},
  h('caption', {}, 'Still to be stored'),
  h('thead', {}, h('tr', {}, ['File', 'How far', 'Seen'].map((head) => h('th', { scope: 'col' }, head)))),
  parts.due);

async function load() {
  const [failed, due] = await Promise.all([get(`/api/media?state=failed&limit=${SHOWN}`), get(`/api/media?state=due&limit=${SHOWN}`)]);
  return { ...failed, failedFiles: failed.files, dueFiles: due.files };
}

function show({ due, failed, stored, failedFiles, dueFiles }) {
  if (!parts.tiles.isConnected) {
    byId('files-body').replaceChildren(parts.tiles, parts.well,
      h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Files that are not stored' }, parts.failedTable, parts.dueTable),
      canAct ? h('p', { class: 'bar more' }, parts.all) : '', parts.said);
  }
  tiles(parts.tiles, [['Stored in 30 days', stored], ['On their way', due], ['Dead letters', failed, failed ? 'bad' : null]]);
  parts.all.hidden = !failed;
  parts.failedTable.hidden = !failed;
  parts.dueTable.hidden = !due;
  parts.failedTable.parentElement.hidden = !failed && !due;
  say(parts.well, failed || due ? '' : 'Every file that was told is stored.');
  parts.well.hidden = Boolean(failed || due);
  keepFocus(parts.failed, failedFiles.map(failedRow));
  parts.due.replaceChildren(...dueFiles.map((file) => h('tr', {},
    name(file),
    h('td', {}, file.state, h('span', { class: 'detail' }, [file.problem, file.attempts && several(file.attempts, 'try', 'tries')].filter(Boolean).join(', '))),
    h('td', {}, age(file.seen_at)))));
}

/** The button that has the focus is another one after a redraw. */
function keepFocus(tbody, rows) {
  const key = tbody.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  tbody.replaceChildren(...rows);
  if (key) (tbody.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? parts.all).focus({ preventScroll: true });
}

function name(file) {
  const what = file.mimetype ?? 'a file';
  const when = file.ended_at ? [', given up ', age(file.ended_at)] : '';
  return h('th', { scope: 'row', title: file.key }, what, h('span', { class: 'detail' }, file.size ? size(file.size) : 'size not known', when));
}

function failedRow(file) {
  const again = canAct && h('button', {
    type: 'button', class: 'small', 'data-key': file.key, 'aria-label': `Try again: ${file.mimetype ?? 'file'} ${file.key}`,
    onclick: ({ currentTarget }) => retry(currentTarget, [file.key]),
  }, 'Try again');
  return h('tr', {},
    name(file),
    h('td', {}, mark('bad'), ` ${ERRORS[file.error] ?? file.error}`, h('span', { class: 'detail' }, [file.problem, several(file.attempts, 'try', 'tries')].filter(Boolean).join(', '))),
    canAct ? h('td', {}, again) : '');
}

async function retry(button, keys = null) {
  if (button.getAttribute('aria-busy')) return;
  button.setAttribute('aria-busy', 'true');
  try {
    const { retried } = await post('/api/media/retry', keys ? { keys } : {});
    tell(`${several(retried, 'file')} will be tried again.`, 'good');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tell(error.words, 'bad');
  }
  button.removeAttribute('aria-busy');
  files.read();
}

function tell(text, level) {
  parts.said.dataset.level = level;
  say(parts.said, text);
}

const files = panel('files', { load, show, everyMs: EVERY_MS });
on('event', ({ type, data }) => (type === 'media' || (type === 'message' && data.media)) && files.soon());
