// The buttons that do something to the session, and what became of it.

import { byId, canAct, say } from './dom.js';
import { ApiError, post } from './api.js';
import { size, took } from './times.js';
import { on } from './live.js';
import { reasonWords, STATES, verdictWords } from './words.js';

const CAUSE = { cause: 'status page' };
const NEW_AGENT_WITHIN_MS = 90_000;

const ACTIONS = {
  check: {
    doing: 'Asking the page…',
    run: () => post('/api/commands/check'),
    done: ({ verdict, reason, facts }) =>
      `${verdictWords(verdict)}. ${reasonWords(reason).why} The page answered in ${took(facts.page_took_ms ?? 0)}; it is “${STATES[facts.state]}”.`,
  },
  reset: {
    doing: 'Making a new connection…',
    run: () => post('/api/commands/reset', CAUSE),
    done: (result) => `The connection was reset, and the server heard since: ${took(result.took_ms)}.`,
  },
  backup: {
    doing: 'Saving the session…',
    run: () => post('/api/sessions/backup', CAUSE),
    done: (result) =>
      `${result.is_new ? 'Saved' : 'Nothing had changed; verified once more'}: ${result.generation}, ${size(result.stored_bytes)}, ${took(result.took_ms)}.`,
  },
  restart_browser: {
    doing: 'Starting the browser anew…',
    run: () => post('/api/commands/restart_browser', CAUSE),
    done: (result) => `A new browser runs and its page answers: ${took(result.took_ms)}.`,
  },
  restart_agent: {
    doing: 'The worker was asked; waiting for the new agent…',
    run: restartAgent,
    done: (start) => `A new agent runs: start ${start}.`,
  },
  logout: {
    sure: {
      title: 'Log out of WhatsApp?',
      text: 'This device is unlinked from the account, and its session in the store is ended. No message comes or goes until a person links a phone again.',
      yes: 'Log out',
    },
    doing: 'Unlinking this device…',
    run: () => post('/api/commands/logout', CAUSE),
    done: () => 'Logged out. A code to be scanned follows.',
  },
};

let running = null;

if (canAct) {
  for (const button of byId('action-bar').querySelectorAll('button')) {
    button.addEventListener('click', () => act(button));
  }
}

async function act(button) {
  if (running) return;
  const action = ACTIONS[button.dataset.action];
  if (action.sure && !(await isSure(action.sure))) return;
  if (running) return;
  running = button;
  mark();
  tell(action.doing);
  try {
    tell(action.done(await action.run()), 'good');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tell(`${button.textContent.replace('…', '')}: ${error.words}`, 'bad');
  } finally {
    running = null;
    mark();
  }
}

/** Not `disabled`, which would take the focus away. */
function mark() {
  for (const button of byId('action-bar').querySelectorAll('button')) {
    if (running) button.setAttribute('aria-disabled', 'true');
    else button.removeAttribute('aria-disabled');
    if (button === running) button.setAttribute('aria-busy', 'true');
    else button.removeAttribute('aria-busy');
  }
}

function tell(text, level) {
  const said = byId('action-said');
  if (level) said.dataset.level = level;
  else delete said.dataset.level;
  say(said, text);
}

let answer = null;

byId('sure').addEventListener('close', ({ target }) => {
  if (target.open) return; // it was opened again before its last closing was told
  answer?.(target.returnValue === 'yes');
  answer = null;
});

/** Whether the person says yes. The focus returns to where it was. */
function isSure({ title, text, yes }) {
  const dialog = byId('sure');
  byId('sure-title').textContent = title;
  byId('sure-text').textContent = text;
  byId('sure-yes').textContent = yes;
  answer?.(false);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    answer = resolve;
  });
}

async function restartAgent() {
  const { epoch } = await post('/api/agent/restart', CAUSE);
  return new Promise((resolve, reject) => {
    let forget = () => {};
    const isThere = ({ agent }) => {
      if (!agent || agent.epoch <= epoch) return;
      clearTimeout(deadline);
      forget();
      resolve(agent.epoch);
    };
    const deadline = setTimeout(() => {
      forget();
      const words = 'the worker was asked and no new agent has spoken yet: see whether the worker runs';
      reject(new ApiError(504, 'no_reply_yet', words, true));
    }, NEW_AGENT_WITHIN_MS);
    forget = on('status', isThere);
  });
}
