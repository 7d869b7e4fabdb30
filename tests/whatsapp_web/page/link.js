/*
 * The WebSocket to the server. It comes back by itself after a loss, with backoff; what was asked and not answered
 * is asked again. It has no deadline for the server's pings: a half-open link looks like a live one, as the users
 * of the real site report.
 */
(function () {
  'use strict';
  const { define, options } = self.StandIn;

  class Link {
    #socket = null;
    #handle;
    #onLost;
    #unanswered = new Map();
    #established = false;
    #attempts = 0;
    #timers = {};
    #nextId = 1;

    /** `handle` takes the server's frames, `onLost` hears that the link is gone and will come back. */
    listen(handle, onLost) {
      this.#handle = handle;
      this.#onLost = onLost;
    }

    /** Opens a new connection; an old one is let go, dead or alive. */
    open() {
      this.close();
      const socket = new WebSocket(`ws://${location.host}/ws/chat`);
      this.#socket = socket;
      socket.onmessage = (event) => JSON.parse(event.data).forEach(this.#handle);
      socket.onclose = () => this.#lost();
      this.#timers.connecting = setTimeout(() => this.#lost(), options.connect_timeout_s * 1000);
      this.#timers.keepalive = setInterval(() => this.send({ type: 'ping' }), options.keepalive_s * 1000);
    }

    /** The server knows who we are: what it owes us is asked again. */
    established() {
      clearTimeout(this.#timers.connecting);
      this.#established = true;
      this.#attempts = 0;
      for (const { frame } of this.#unanswered.values()) this.send(frame);
    }

    close() {
      clearTimeout(this.#timers.connecting);
      clearTimeout(this.#timers.reopening);
      clearInterval(this.#timers.keepalive);
      this.#established = false;
      if (!this.#socket) return;
      this.#socket.onmessage = null;
      this.#socket.onclose = null;
      this.#socket.close();
      this.#socket = null;
    }

    send(frame) {
      if (this.#socket && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
    }

    /** Sends a frame that the server answers; waits as long as that takes, over however many connections. */
    request(frame) {
      const id = frame.id || `q${this.#nextId++}`;
      return new Promise((resolve) => {
        // What is asked again before it was answered gets the same answer.
        const before = this.#unanswered.get(id);
        this.#unanswered.set(id, { frame: { ...frame, id }, resolves: [...(before ? before.resolves : []), resolve] });
        if (this.#established) this.send({ ...frame, id });
      });
    }

    query(name, args = {}) {
      return this.request({ type: 'query', name, args }).then((answer) => answer.result);
    }

    answered(frame) {
      const request = this.#unanswered.get(frame.id);
      this.#unanswered.delete(frame.id);
      if (request) request.resolves.forEach((resolve) => resolve(frame));
    }

    #lost() {
      this.close();
      const wait = Math.min(options.reconnect_first_ms * 2 ** this.#attempts, options.reconnect_max_ms);
      this.#attempts += 1;
      this.#timers.reopening = setTimeout(() => this.open(), wait);
      this.#onLost();
    }
  }

  define('StandInLink', (exports) => {
    exports.default = new Link();
  });
})();
