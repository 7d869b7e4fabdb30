/*
 * What the page keeps in IndexedDB: its keys and its messages, in two databases named as the real ones.
 * The profile is the account: without these (and localStorage) a browser is not linked.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const VERSION = 10;

  function asPromise(request) {
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  function committed(transaction) {
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  /** One object store in a database of its own. */
  class Store {
    #database;
    #name;
    #create;
    #opened;

    constructor(database, name, create = (db) => db.createObjectStore(name)) {
      this.#database = database;
      this.#name = name;
      this.#create = create;
    }

    /** Makes the database, so that it is there for whoever else opens it. */
    open() {
      if (!this.#opened) {
        const request = indexedDB.open(this.#database, VERSION);
        request.onupgradeneeded = () => this.#create(request.result);
        this.#opened = asPromise(request);
      }
      return this.#opened;
    }

    async transaction(mode) {
      return (await this.open()).transaction(this.#name, mode);
    }

    async reading() {
      return (await this.transaction('readonly')).objectStore(this.#name);
    }

    async get(key) {
      return asPromise((await this.reading()).get(key));
    }

    async getAll() {
      return asPromise((await this.reading()).getAll());
    }

    /** Writes [key, value] pairs in one transaction; resolves when they are committed. */
    async putAll(entries) {
      const transaction = await this.transaction('readwrite');
      const store = transaction.objectStore(this.#name);
      for (const [key, value] of entries) store.put(value, key);
      return committed(transaction);
    }

    async clear() {
      const transaction = await this.transaction('readwrite');
      transaction.objectStore(this.#name).clear();
      return committed(transaction);
    }
  }

  /** Rows of messages by their key, and in the order of their chat. */
  class MessageStore extends Store {
    constructor() {
      super('model-storage', 'message', (db) => {
        const store = db.createObjectStore('message', { keyPath: 'id' });
        store.createIndex('rowId', 'rowId'); // wa-js reads by this one
        store.createIndex('inChat', ['chat', 't', 'order']);
      });
    }

    /** Writes rows, and changes some of before, in one transaction; resolves when that is committed. */
    async write(rows, changes) {
      const transaction = await this.transaction('readwrite');
      const store = transaction.objectStore('message');
      for (const row of rows) store.put(row);
      for (const [key, change] of changes) {
        const request = store.get(key);
        request.onsuccess = () => request.result && store.put(change(request.result));
      }
      return committed(transaction);
    }

    /** Up to `count` rows of a chat next to a place in it ({t, order}), oldest first; `before` or `after` it. */
    async near(chat, { t, order }, direction, count) {
      const place = [chat, t, order];
      const range = direction === 'after'
        ? IDBKeyRange.bound(place, [chat, Infinity], true, true)
        : IDBKeyRange.bound([chat, -Infinity], place, true, true);
      const index = (await this.reading()).index('inChat');
      const limit = Number.isFinite(count) ? count : undefined;
      if (limit !== undefined && limit <= 0) return [];
      if (direction === 'after') return asPromise(index.getAll(range, limit));
      return limit === undefined ? asPromise(index.getAll(range)) : this.#lastOf(index, range, limit);
    }

    #lastOf(index, range, count) {
      const found = [];
      return new Promise((resolve, reject) => {
        const walk = index.openCursor(range, 'prev');
        walk.onerror = () => reject(walk.error);
        walk.onsuccess = () => {
          const cursor = walk.result;
          if (cursor) found.unshift(cursor.value);
          if (!cursor || found.length === count) resolve(found);
          else cursor.continue();
        };
      });
    }
  }

  define('StandInStorage', (exports) => {
    exports.keys = new Store('signal-storage', 'signal-meta-store');
    exports.messages = new MessageStore();
  });
})();
