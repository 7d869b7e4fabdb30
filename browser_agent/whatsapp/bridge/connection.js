/* What the page is in, and what the agent asks of its connection. */

// -- what the page is in ----------------------------------------------------------------------------------------

// Before the loader has found its modules, asking wa-js would run WhatsApp's modules too early.
const isInjected = () => window.WPP?.isInjected === true;

const mode = () => (isInjected() ? text(() => WPP.whatsapp.Stream.mode) : null);

const snapshot = () => {
  const online = attempt(() => navigator.onLine);
  if (!isInjected()) return { injected: false, online };
  return {
    injected: true,
    online,
    mode: mode(),
    info: text(() => WPP.whatsapp.Stream.info),
    socket: text(() => WPP.whatsapp.Socket.state),
    authenticated: flag(() => WPP.conn.isAuthenticated()),
    registered: flag(() => WPP.conn.isRegistered()),
    version: text(() => window.Debug.VERSION),
    wa_js: text(() => WPP.version),
  };
};

let lastTold = '';
const tellStream = () => {
  const now = snapshot();
  const text = JSON.stringify(now);
  if (text === lastTold) return;
  lastTold = text;
  tell('stream', { stream: now });
};

// -- the agent's calls ------------------------------------------------------------------------------------------

const isStarted = (query) =>
  attempt(() => {
    Promise.resolve(query()).catch(() => {});
    return true;
  }, false);

// An answer will do, also one that the page may not read; not a failure, which a proxy or what stands before the site
// may have told. What the page's own rules forbid to ask, or a page that is just left, says nothing.
const SITE_WITHIN_MS = 5000; // more than the agent has for its own (site_reach.py)
const isOfTheSite = ({ status }) => status < 500 && status !== 407;
let isForbidden = false;
document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
  isForbidden ||= effectiveDirective === 'connect-src';
});

/** Whether a request of the page reaches its own site: true, false, or null where it cannot be asked. */
const askSite = async () => {
  isForbidden = false;
  const how = { method: 'HEAD', cache: 'no-store', redirect: 'manual', signal: AbortSignal.timeout(SITE_WITHIN_MS) };
  const reached = await fetch(`/?${Date.now()}`, how).then(isOfTheSite, () => false);
  if (!reached) await new Promise((resolve) => setTimeout(resolve, 50)); // until the page tells what it forbade
  return !reached && isForbidden ? null : reached;
};

Object.assign(waAgent, {
  snapshot: () => (isInjected() ? { ...snapshot(), messages: lookAtStore() } : snapshot()),
  askSite,
  localStorage: () => ({
    origin: location.origin,
    items: Object.fromEntries(Object.keys(localStorage).map((key) => [key, localStorage.getItem(key)])),
  }),
  account: () => lidAndPhone(me()),
  reconnect: () => WPP.whatsapp.Socket.reconnect(),
  // It throws where the conflict is over already: then there is nothing to take over, and the state will say so.
  takeOver: () => attempt(() => WPP.whatsapp.Socket.takeover()),
  logout: () => WPP.whatsapp.Socket.logout(),
  // Asks the server something cheap, for the sake of an answer: what it says does not matter, nor is it awaited.
  // Whether there was something to ask with.
  askServer: () =>
    (me() !== null && isStarted(() => WPP.whatsapp.functions.queryWidExists(me()))) ||
    isStarted(() => WPP.whatsapp.functions.queryAllGroups()),
});

// -- from the document's start ----------------------------------------------------------------------------------

tell('document', { path: location.pathname + location.search });
for (const name of [
  'loader.injected',
  'loader.ready',
  'conn.stream_mode_changed',
  'conn.stream_info_changed',
  'conn.authenticated',
  'conn.main_ready',
  'conn.require_auth',
  'conn.online',
]) {
  WPP.on(name, tellStream);
}
WPP.on('conn.backend_event', (name) => {
  if (name === 'logout') tell('logout', {});
  tellStream();
});
WPP.on('conn.logout', () => tell('logout', {}));
