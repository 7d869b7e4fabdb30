/*
 * What came, on its way into IndexedDB: many rows in one transaction, acknowledged to the server after that. A page
 * that dies in between gets them again in its next life.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const KEEP_AFTER_MS = 100;

  define('StandInKeeping', (exports, require) => {
    const link = require('StandInLink');
    const storage = require('StandInStorage');

    const known = new Set();
    const frames = new Map();
    const changes = new Map();
    const owed = new Set();
    let lastRowId = Date.now() * 1000;
    let timer = null;
    let writing = Promise.resolve();
    let stopped = false;

    // The real rows have what is readable in them encrypted under this name.
    const row = ([key, frame]) => ({
      id: key, rowId: (lastRowId += 1), chat: frame.chat, t: frame.t, order: frame.order, type: frame.type,
      msgRowOpaqueData: frame,
    });

    /** The rows that earlier lives of the page kept, in the order of time. */
    exports.load = async () => {
      const all = await storage.messages.getAll();
      for (const { id } of all) known.add(id);
      return all.sort((one, other) => one.t - other.t || one.order - other.order);
    };

    /** Whether a message was ever kept, or is about to be. */
    exports.has = (key) => known.has(key);

    /** Keeps a message as the server's frame would. */
    exports.keep = (key, frame) => {
      known.add(key);
      frames.set(key, frame);
      soon();
    };

    /** Changes what is kept of a message, if it is: `change` makes a new frame of the old one. */
    exports.change = (key, change) => {
      if (frames.has(key)) frames.set(key, change(frames.get(key)));
      else if (known.has(key)) changes.set(key, [...(changes.get(key) || []), change]);
      soon();
    };

    /** Tells the server that something arrived, once everything until now is kept. */
    exports.acknowledge = (key) => {
      owed.add(key);
      soon();
    };

    /** Resolves when everything until now is in IndexedDB. */
    exports.flush = async () => {
      if (timer) {
        clearTimeout(timer);
        write();
      }
      await writing;
    };

    exports.stop = async () => {
      stopped = true;
      clearTimeout(timer);
      await writing;
      known.clear();
    };

    function soon() {
      if (!timer && !stopped) timer = setTimeout(write, KEEP_AFTER_MS);
    }

    function write() {
      timer = null;
      const [newRows, newChanges, keys] = [[...frames].map(row), [...changes], [...owed]];
      for (const taken of [frames, changes, owed]) taken.clear();
      const applied = newChanges.map(([key, steps]) => [key, (kept) => ({
        ...kept, msgRowOpaqueData: steps.reduce((frame, change) => change(frame), kept.msgRowOpaqueData),
      })]);
      writing = writing.then(async () => {
        if (newRows.length || applied.length) await storage.messages.write(newRows, applied);
        if (keys.length) link.send({ type: 'received', keys });
      });
    }
  });
})();
