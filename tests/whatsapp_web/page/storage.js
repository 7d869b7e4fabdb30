/*
 * What the page keeps in IndexedDB: its keys and its messages, in two databases named as the real ones.
 * The profile is the account: without these (and localStorage) a browser is not linked.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;

  function asPromise(request) {
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  class Store {
    #database;
    #name;
    #opened;

    constructor(database, name) {
      this.#database = database;
      this.#name = name;
    }

    async #transaction(mode) {
      if (!this.#opened) {
        const request = indexedDB.open(this.#database, 1);
        request.onupgradeneeded = () => request.result.createObjectStore(this.#name);
        this.#opened = asPromise(request);
      }
      return (await this.#opened).transaction(this.#name, mode);
    }

    async get(key) {
      return asPromise((await this.#transaction('readonly')).objectStore(this.#name).get(key));
    }

    async getAll() {
      return asPromise((await this.#transaction('readonly')).objectStore(this.#name).getAll());
    }

    /** Writes [key, value] pairs in one transaction; resolves when they are committed. */
    async putAll(entries) {
      const transaction = await this.#transaction('readwrite');
      const store = transaction.objectStore(this.#name);
      for (const [key, value] of entries) store.put(value, key);
      return this.#committed(transaction);
    }

    async clear() {
      const transaction = await this.#transaction('readwrite');
      transaction.objectStore(this.#name).clear();
      return this.#committed(transaction);
    }

    #committed(transaction) {
      return new Promise((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
      });
    }
  }

  define('StandInStorage', (exports) => {
    exports.keys = new Store('signal-storage', 'signal-meta-store');
    exports.messages = new Store('model-storage', 'message');
  });
})();
