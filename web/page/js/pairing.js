// The other way in: a code for a phone's number, typed on the phone.

import { byId, canAct, h, say } from './dom.js';
import { ApiError, post } from './api.js';
import { everySecond, lasting, now } from './times.js';
import { on } from './live.js';

let expires = 0;

if (canAct) {
  byId('pairing').addEventListener('submit', (event) => {
    event.preventDefault();
    ask();
  });
  everySecond(tick);
  on('status', ({ agent, redis }) => {
    if (redis && agent?.authenticated) forget();
  });
}

async function ask() {
  const phone = byId('phone').value.replace(/\D/g, '').replace(/^00/, '');
  if (phone.length < 7 || phone.length > 15) {
    tell('A number with its country code has 7 to 15 digits: 39 333 111 2233.', 'bad');
    byId('phone').setAttribute('aria-invalid', 'true');
    byId('phone').focus();
    return;
  }
  byId('phone').removeAttribute('aria-invalid');
  const button = byId('pairing-ask');
  if (button.getAttribute('aria-busy')) return;
  button.setAttribute('aria-busy', 'true');
  tell('Asking WhatsApp for a code…');
  try {
    const { code, expires_at: until } = await post('/api/commands/pairing_code', { phone });
    show(code, Date.parse(until));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tell(error.words, 'bad');
  } finally {
    button.removeAttribute('aria-busy');
  }
}

function show(code, until) {
  expires = until;
  // Letter by letter for those who hear it.
  const spelled = h('span', { class: 'out' }, [...code.replace('-', '')].join(' '));
  byId('pairing-code').replaceChildren(h('span', { 'aria-hidden': 'true' }, code), spelled);
  byId('pairing-shown').hidden = false;
  tell('Type this code on the phone.', 'good');
  tick();
}

function tick() {
  if (!expires) return;
  const left = expires - now();
  say(byId('pairing-left'), left > 0 ? `Good for ${lasting(left)}.` : '');
  if (left <= 0) {
    forget();
    tell('The code has run out: get another one.', 'warn');
  }
}

function forget() {
  expires = 0;
  byId('pairing-shown').hidden = true;
  byId('pairing-code').replaceChildren();
}

function tell(text, level) {
  const said = byId('phone-said');
  if (level) said.dataset.level = level;
  else delete said.dataset.level;
  say(said, text);
}
