/* Which build of the site this is, and which of its modules are there. Looks only: nothing of the site is called. */

// Builds that do not tell their version have the number of their revision in the document.
const REVISION = /"client_revision":(\d+)/;

const revisionIn = (html) => REVISION.exec(html)?.[1] ?? null;

const hash = (given) => {
  let sum = 0x811c9dc5;
  for (let at = 0; at < given.length; at += 1) sum = Math.imul(sum ^ given.charCodeAt(at), 0x01000193);
  return (sum >>> 0).toString(16).padStart(8, '0');
};

// The names of a build's files say what is in them.
const scriptsOfPage = () => Array.from(document.scripts, ({ src }) => src.split(/[?#]/)[0]).filter(Boolean).sort();

const buildVersion = () =>
  text(() => window.Debug.VERSION) ??
  text(() => `2.3000.${revisionIn(document.documentElement.innerHTML) ?? ''}`.match(/^2\.3000\.\d+$/)[0]) ??
  `scripts-${hash(scriptsOfPage().join('\n'))}`;

// wa-js looks for a module when it is first read, and may throw where it has none.
const isThere = (path) =>
  attempt(() => path.split('.').reduce((from, name) => from[name], WPP.whatsapp) != null, false);

// Only a whole document that says which build it is can be blamed for it that wa-js is not injected.
const lackedWithoutWaJs = (names) =>
  document.readyState === 'complete' && revisionIn(document.documentElement.innerHTML) !== null ? names : null;

Object.assign(waAgent, {
  /** The build's version, whether wa-js is injected, and those of the modules (as in WPP.whatsapp) that it lacks. */
  probeBuild: (names) => ({
    version: buildVersion(),
    injected: isInjected(),
    missing: isInjected() ? names.filter((name) => !isThere(name)) : lackedWithoutWaJs(names),
  }),

  /**
   * The number of the build that the site serves at present, whatever this page is; null where it does not say.
   * Asked with the page's cookies: which build an account is given may depend on them.
   */
  servedRevision: async (within_ms) => {
    const how = { cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout(within_ms) };
    return revisionIn(await (await fetch(`/?${Date.now()}`, how)).text());
  },
});
