/* What a person sees: the code to scan, or the account with its chats. Drawn at leisure, never on the hot path. */
(function () {
  'use strict';
  const { require } = self;
  const DRAW_AFTER_MS = 250;
  const CHATS_SHOWN = 20;

  const { Socket } = require('WAWebSocketModel');
  const { Stream } = require('WAWebStreamModel');
  const { Conn } = require('WAWebConnModel');
  const { ChatCollection } = require('WAWebChatCollection');
  const { MsgCollection } = require('WAWebMsgCollection');
  const credentials = require('StandInCredentials');
  const app = document.getElementById('app');
  let drawing = null;

  function element(tag, attributes, ...children) {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  }

  function drawLinkState() {
    document.getElementById('link-state').textContent =
      Socket.state === 'UNLAUNCHED' ? 'starting' : `link ${Socket.state}, mode ${Stream.mode}, ${Stream.info}`;
  }

  // --- the code to scan, in an element that carries it as data-ref, as on the real page

  async function drawCode() {
    const code = require('StandInQr').code();
    let holder = app.querySelector('[data-ref]');
    if (!holder) {
      holder = element('div', {}, element('canvas', { ariaLabel: 'Scan this QR code to link a device!' }));
      const steps = ['Open WhatsApp on your phone', 'Linked devices, Link a device', 'Point the phone at this code'];
      app.replaceChildren(
        element('h2', {}, 'Scan to log in'),
        element('div', { className: 'linking' },
          element('ol', {}, ...steps.map((step) => element('li', {}, step))), holder),
        element('p', { className: 'hint' }, 'There is no real account behind this page: a test scans the code.'),
      );
    }
    if (holder.dataset.ref === code) return;
    holder.className = '';
    holder.dataset.ref = code;
    holder.querySelectorAll('button').forEach((button) => button.remove());
    const image = new Image();
    image.src = `/qr.png?${new URLSearchParams({ code })}`;
    await image.decode();
    if (holder.dataset.ref !== code) return;
    const canvas = holder.querySelector('canvas');
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    canvas.getContext('2d').drawImage(image, 0, 0);
  }

  function drawIdle() {
    const holder = app.querySelector('[data-ref]');
    if (!holder || holder.className === 'idle') return;
    holder.className = 'idle';
    const onclick = () => require('WAWebBackendEventBus').BackendEventBus.triggerRefreshQR();
    holder.append(element('button', { onclick }, 'Click to reload QR code'));
  }

  // --- the chats

  function chatRow(chat) {
    const last = chat.msgs.last();
    const text = last ? last.body || last.caption || `(${last.type})` : 'no messages yet';
    const time = last ? new Date(last.t * 1000).toLocaleTimeString() : '';
    const unread = chat.unreadCount > 0 ? [' ', element('span', { className: 'unread' }, String(chat.unreadCount))] : [];
    return element('tr', {},
      element('td', { className: 'chat' }, chat.formattedTitle, ...unread),
      element('td', { className: 'last' }, last && last.notifyName ? `${last.notifyName}: ${text}` : text),
      element('td', { className: 'time' }, time));
  }

  function drawChats() {
    const latest = ChatCollection.map((chat) => chat).sort((one, other) => other.t - one.t).slice(0, CHATS_SHOWN);
    app.replaceChildren(
      element('h2', {}, `${credentials.me.name} +${credentials.me.phone.split('@')[0]}`),
      element('p', { className: 'hint' }, `${ChatCollection.length} chats, ${MsgCollection.length} messages`),
      element('table', {}, ...latest.map(chatRow)),
    );
  }

  function drawSoon() {
    if (drawing) return;
    drawing = setTimeout(() => {
      drawing = null;
      if (credentials.me && Stream.mode === 'MAIN') drawChats();
    }, DRAW_AFTER_MS);
  }

  function follow() {
    drawLinkState();
    if (credentials.me) {
      // The code goes at once: it is no longer valid.
      if (app.querySelector('[data-ref]')) app.replaceChildren(element('p', { className: 'hint' }, 'Syncing\u2026'));
      drawSoon();
    } else if (Socket.state === 'UNPAIRED' && Conn.ref) {
      drawCode();
    } else if (Socket.state === 'UNPAIRED_IDLE') {
      drawIdle();
    }
  }

  Socket.on('change:state', follow);
  Stream.on('change', follow);
  Conn.on('change:ref', follow);
  ChatCollection.on('add change', drawSoon);
  MsgCollection.on('add', drawSoon);
  drawLinkState();
})();
