// The code to be scanned, with its countdown; shown to those who may link a phone, told to others.

import { byId, canAct, say } from './dom.js';
import { everySecond, lasting, now } from './times.js';
import { live, on } from './live.js';

const LIFE_MS = 20_000; // of a code, unless a longer one is told: WhatsApp's first one lives a minute
const section = byId('link');
const image = byId('qr-image');

let wanted = '';
let expires = 0;
let life = LIFE_MS;
let coming = '';

on('status', () => {
  const { status, agent } = live;
  const isWaiting = status.redis && agent && (agent.state === 'awaiting_scan' || status.qr !== null);
  section.hidden = !isWaiting;
  if (!isWaiting) return forget();
  byId('link-viewer').hidden = canAct;
  section.querySelector('.ways').hidden = !canAct;
  if (!canAct) return;
  const { qr } = status;
  // WhatsApp Web shows no QR code while a code for a number may still be typed in.
  coming = agent?.reason === 'pairing_code'
    ? 'A code for the phone’s number was given: type it in. A QR code comes again when it has run out.'
    : 'The next code is on its way.';
  const name = qr ? `${agent.epoch}-${qr.sequence}` : '';
  if (qr && name !== wanted) {
    expires = Date.parse(qr.expires_at);
    life = Math.max(LIFE_MS, expires - now());
    fetchImage(name);
  }
  tick();
});

function forget() {
  wanted = '';
  expires = 0;
  image.removeAttribute('src');
}

/** Swapped when it is whole, so that nothing flickers. */
async function fetchImage(name) {
  wanted = name;
  const next = new Image();
  next.src = `/api/qr.png?${encodeURIComponent(name)}`;
  try {
    await next.decode();
  } catch {
    if (wanted === name) setTimeout(() => wanted === name && fetchImage(name), 1000);
    return;
  }
  if (wanted === name) image.src = next.src;
  tick();
}

function tick() {
  if (section.hidden || !canAct) return;
  const left = expires - now();
  const isGood = left > 0 && image.hasAttribute('src');
  image.classList.toggle('over', !isGood);
  byId('qr-none').hidden = isGood;
  say(byId('qr-none'), coming);
  say(byId('qr-left'), isGood ? `Good for ${lasting(left)}; then the next one comes.` : '');
  byId('qr-bar').style.transform = `scaleX(${isGood ? Math.min(1, left / life) : 0})`;
}

everySecond(tick);
