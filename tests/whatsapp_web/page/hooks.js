/*
 * What tests do inside the page. The hooks come by EventSource: the product takes every WebSocket frame for a sign
 * of a living link.
 */
(function () {
  'use strict';
  const { require } = self;

  const leaked = [];
  const hooks = {
    rotateQr: () => require('StandInQr').rotate(),
    idleQr: () => require('StandInQr').idle(),
    busyLoop: (ms) => {
      const end = performance.now() + ms;
      while (performance.now() < end);
    },
    // What comes is in the store, and whoever listens is not told.
    deafen: () => {
      const { MsgCollection } = require('WAWebMsgCollection');
      const trigger = MsgCollection.trigger;
      MsgCollection.trigger = (name, ...args) => (name === 'add' ? undefined : trigger.call(MsgCollection, name, ...args));
    },
    // All of it is written to: memory that nobody has touched is none.
    leak: (bytes) => leaked.push(new Uint8Array(bytes).fill(1)),
    slowPage: (busyMs, everyMs, forMs) => {
      const timer = setInterval(hooks.busyLoop, everyMs, busyMs);
      setTimeout(clearInterval, forMs, timer);
    },
  };

  function answer(id, result) {
    return fetch('/hooks/answer', { method: 'POST', body: JSON.stringify({ id, result }) });
  }

  const events = new EventSource('/hooks/events');
  events.onmessage = (event) => {
    const { id, hook, args } = JSON.parse(event.data);
    const before = hook === 'busyLoop'; // a page that hangs could not answer; now the request is on its way at once
    if (before) answer(id, null);
    hooks[hook](...args);
    if (!before) answer(id, null);
  };
})();
