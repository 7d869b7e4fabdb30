/* The event emitter under every model, collection and bus of the site. */
(function () {
  'use strict';
  class EventEmitter {
    #listeners = new Map();

    on(names, callback, context) {
      if (typeof callback !== 'function') throw new Error('Callback parameter passed is not a function');
      for (const name of String(names).split(/\s+/)) {
        // A new list each time: one that is being called stays as it is.
        this.#listeners.set(name, [...(this.#listeners.get(name) || []), { callback, context }]);
      }
      return this;
    }

    once(names, callback, context) {
      const wrapper = (...args) => {
        this.off(names, wrapper);
        callback.apply(context || this, args);
      };
      wrapper.original = callback;
      return this.on(names, wrapper, context);
    }

    off(names, callback) {
      if (!names) {
        this.#listeners.clear();
        return this;
      }
      for (const name of String(names).split(/\s+/)) {
        const kept = (this.#listeners.get(name) || []).filter(
          (listener) => callback && listener.callback !== callback && listener.callback.original !== callback,
        );
        this.#listeners.set(name, kept);
      }
      return this;
    }

    trigger(name, ...args) {
      for (const { callback, context } of this.#listeners.get(name) || []) callback.apply(context || this, args);
      for (const { callback, context } of this.#listeners.get('all') || []) callback.call(context || this, name, ...args);
      return this;
    }

    listenTo(emitter, names, callback) {
      emitter.on(names, callback, this);
      return this;
    }

    stopListening(emitter, names, callback) {
      if (emitter) emitter.off(names, callback);
      return this;
    }
  }

  self.StandIn.define('WAWebEventEmitter', (exports) => {
    exports.default = EventEmitter;
  });
})();
