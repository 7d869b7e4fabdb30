/* Collections: models by id, in the order they came. */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const EventEmitter = self.require('WAWebEventEmitter');
  const { BaseModel } = self.require('WAWebBaseModel');

  class BaseCollection extends EventEmitter {
    #models = [];
    #byId = new Map();

    constructor(models) {
      super();
      if (!this.constructor.model) throw new Error('Collection initialized without model');
      this.modelClass = this.constructor.model;
      if (models) this.add(models);
    }

    get length() {
      return this.#models.length;
    }

    /** Adds what is new; a model already here is returned as it is (`merge` updates it). */
    add(modelOrModels, options = {}) {
      return [].concat(modelOrModels).map((given) => {
        const known = this.#byId.get(String(given.id));
        if (known) {
          if (options.merge) known.set(given instanceof BaseModel ? given.attributes : given);
          return known;
        }
        const model = given instanceof this.constructor.model ? given : new this.constructor.model(given);
        this.#byId.set(String(model.id), model);
        this.#place(model);
        model.joined(this);
        this.trigger('add', model, this, options);
        return model;
      });
    }

    // At the end, mostly; a collection with a comparator is in its order.
    #place(model) {
      const { comparator } = this.constructor;
      let at = this.#models.length;
      if (comparator) while (at > 0 && comparator(this.#models[at - 1], model) > 0) at -= 1;
      if (at === this.#models.length) this.#models.push(model);
      else this.#models.splice(at, 0, model);
    }

    remove(modelOrId) {
      const model = this.get(modelOrId);
      if (!model) return undefined;
      this.#byId.delete(String(model.id));
      this.#models = this.#models.filter((one) => one !== model);
      model.left(this);
      this.trigger('remove', model, this);
      return model;
    }

    reset() {
      [...this.#models].forEach((model) => this.remove(model));
      this.trigger('reset', this);
    }

    get(modelOrId) {
      if (modelOrId === undefined || modelOrId === null) return undefined;
      // By model, by id, or by what may become a model: wa-js asks with attributes, too.
      const isId = typeof modelOrId !== 'object' || typeof modelOrId.id !== 'object';
      return this.#byId.get(String(isId && !(modelOrId instanceof BaseModel) ? modelOrId : modelOrId.id));
    }

    assertGet(id) {
      const model = this.get(id);
      if (!model) throw new Error(`not found ${id}`);
      return model;
    }

    async find(id) {
      return this.get(id);
    }

    async update(id) {
      return this.get(id);
    }

    getModelsArray() {
      return this.#models;
    }

    // whatsapp-web.js reads this one
    get _models() {
      return this.#models;
    }

    forEach(callback) {
      this.#models.forEach(callback);
    }

    map(callback) {
      return this.#models.map(callback);
    }

    filter(callback) {
      return this.#models.filter(callback);
    }

    some(callback) {
      return this.#models.some(callback);
    }

    findFirst(callback) {
      return this.#models.find(callback);
    }

    head() {
      return this.#models[0];
    }

    last() {
      return this.#models[this.#models.length - 1];
    }

    serialize() {
      return this.#models.map((model) => model.serialize());
    }

    toJSON() {
      return this.serialize();
    }
  }

  define('WAWebBaseCollection', (exports) => {
    exports.BaseCollection = BaseCollection;
  });
  define('WAWebCollection', (exports) => {
    // wa-js knows this class by a sentence in its source.
    exports.default = class Collection extends BaseCollection {
      constructor(models) {
        super(models);
        if (!this.modelClass) throw new Error('Collection initialized without model');
      }
    };
  });
})();
