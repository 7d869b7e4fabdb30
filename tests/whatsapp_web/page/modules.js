/*
 * The module system of Meta's sites, as far as wa-js 4.6.0 and whatsapp-web.js 1.34.7 look at it.
 *
 * Modules named WA... carry the site's own names, and the two libraries find them by name or by the shape of
 * their exports. Modules named StandIn... are ours; wa-js looks only at WA..., so that none is taken for the site's.
 */
(function (global) {
  'use strict';

  const options = JSON.parse(document.getElementById('options').textContent);
  const modules = Object.create(null);
  // A hidden module is withheld from the libraries; the page itself keeps it.
  const hidden = new Set(options.hide);
  const visible = Object.create(null);

  function __d(id, dependencies, factory, flags) {
    if (modules[id]) return;
    modules[id] = { id, deps: dependencies, factory, flags: flags || 0, exports: {}, done: false };
    if (!hidden.has(id)) visible[id] = modules[id];
  }

  function load(id) {
    const module = modules[id];
    if (!module) throw new Error(`Requiring unknown module "${id}"`);
    if (!module.done) {
      module.done = true; // a cycle sees the partial exports
      module.factory(global, require, importDefault, importNamespace, requireLazy, module, module.exports);
      module.factory = null; // the real one drops it, too
    }
    return module.exports;
  }

  function hasOnlyDefault(exports) {
    const names = Object.keys(exports);
    return names.length === 1 && names[0] === 'default';
  }

  // A module whose only export is `default` IS its default export to require() ...
  function require(id) {
    const exports = load(id);
    return hasOnlyDefault(exports) ? exports.default : exports;
  }

  function importDefault(id) {
    const exports = load(id);
    return exports.default !== undefined ? exports.default : exports;
  }

  // ... and stays {default: X} to importNamespace(), which is what wa-js matches shapes on.
  function importNamespace(id) {
    if (hidden.has(id)) throw new Error(`Requiring unknown module "${id}"`);
    return load(id);
  }

  function requireLazy(ids, callback) {
    queueMicrotask(() => callback(...ids.map(require)));
  }

  /** Registers a module; `build(exports, require)` fills its exports when it is first required. */
  function define(id, build) {
    __d(id, [], (_global, _require, _default, _namespace, _lazy, _module, exports) => build(exports, require), 98);
  }

  global.ErrorGuard = { skipGuardGlobal() {} };
  global.importNamespace = importNamespace;
  global.importDefault = importDefault;
  global.requireLazy = requireLazy;

  define('__debug', (exports) => {
    exports.modulesMap = visible;
    exports.getReplacements = () => ({});
  });
  define('Bootloader', (exports) => {
    const componentMap = new Map();
    exports.__debug = { componentMap };
    exports.loadModules = (components, callback) => {
      const unknown = components.find((component) => !componentMap.has(component));
      if (unknown) throw new Error(`unknown component ${unknown}`);
      setTimeout(callback, 0);
    };
  });

  global.StandIn = Object.freeze({ options, define });
  // wa-js traps the assignment of these two and starts with the second: they come last, in this order.
  if (!options.hide_loader) global.__d = __d;
  global.require = require;
})(self);
