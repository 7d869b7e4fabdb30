/* Models: named values that tell of their changes. */
(function () {
  'use strict';
  const EventEmitter = self.require('WAWebEventEmitter');

  class BaseModel extends EventEmitter {
    #values = {};
    #collections = [];

    constructor(attributes) {
      super();
      Object.assign(this.#values, attributes);
      for (const name in this.#values) this.#expose(name);
    }

    // Accessors live on the class, once per name: one property per model would cost more than the message.
    #expose(name) {
      if (name in this) return;
      Object.defineProperty(this.constructor.prototype, name, {
        configurable: true,
        enumerable: true,
        get() {
          // wa-js reads attributes off the bare prototype, too.
          return #values in this ? this.#values[name] : undefined;
        },
        set(value) {
          this.set(name, value);
        },
      });
    }

    get(name) {
      return this.#values[name];
    }

    set(nameOrValues, value) {
      const values = typeof nameOrValues === 'string' ? { [nameOrValues]: value } : nameOrValues;
      const changes = [];
      for (const name of Object.keys(values)) {
        const before = this.#values[name];
        if (before === values[name] && name in this.#values) continue;
        this.#values[name] = values[name];
        this.#expose(name);
        changes.push([name, values[name], before]);
      }
      for (const [name, now, before] of changes) this.#tell(`change:${name}`, this, now, before);
      if (changes.length) this.#tell('change', this);
      return this;
    }

    unset(name) {
      return this.set(name, undefined);
    }

    // A collection hears the changes of its models.
    #tell(event, ...args) {
      this.trigger(event, ...args);
      for (const collection of this.#collections) collection.trigger(event, ...args);
    }

    joined(collection) {
      this.#collections.push(collection);
    }

    left(collection) {
      this.#collections = this.#collections.filter((one) => one !== collection);
    }

    get attributes() {
      return this.#values;
    }

    get collection() {
      return this.#collections[0];
    }

    unsafe() {
      return this;
    }

    serialize() {
      const plain = {};
      for (const [name, value] of Object.entries(this.#values)) {
        if (typeof value === 'function') continue;
        plain[name] = value && typeof value.serialize === 'function' ? value.serialize() : value;
      }
      return plain;
    }

    toJSON() {
      return this.serialize();
    }
  }

  self.StandIn.define('WAWebBaseModel', (exports) => {
    exports.BaseModel = BaseModel;
    exports.defineModel = (model) => model;
  });
})();
