/*
 * The bridge runs in the page behind the wa-js bundle, from the document's start. It tells the agent what changes
 * (through the binding `waAgentTell`, the fastest way out of a page) and answers the agent's calls (`waAgent.*`).
 *
 * It knows WhatsApp Web only through wa-js and the DOM's QR element. Names differ between builds of the site, so
 * it takes both vocabularies: what works on old and new builds is written in page.py's sources.
 *
 * The files of this folder become one function, in the order of whatsapp/bridge.py: what one declares, later ones use.
 * This one: how the page's values are read, and how the agent is told.
 */
const attempt = (read, fallback = null) => {
  try {
    return read() ?? fallback;
  } catch {
    return fallback;
  }
};
const tell = (kind, data) => window.waAgentTell(JSON.stringify({ kind, ...data }));

// What the site holds may be of any type, or throw when it is read. The agent gets these types, or null.
const text = (read) => {
  const value = attempt(read);
  return value === null ? null : attempt(() => String(value).toWellFormed());
};
const flag = (read) => attempt(() => !!read(), false);
const number = (read) => {
  const value = attempt(() => Number(read() ?? NaN));
  return Number.isFinite(value) ? value : null;
};
const whole = (read) => {
  const number = attempt(() => Math.round(read() ?? NaN));
  return Number.isSafeInteger(number) ? number : null;
};

// Answers whether it went well. The error's name alone is told: its text may hold a message's.
const orTrouble = (where, act) => (...given) => {
  try {
    act(...given);
    return true;
  } catch (error) {
    tell('trouble', { where, error: text(() => error.name) ?? 'unknown' });
    return false;
  }
};

const me = () => attempt(() => WPP.conn.getMyUserId());

const lidAndPhone = (wid) => {
  if (!wid) return { lid: null, phone: null };
  const own = text(() => wid);
  const isLid = attempt(() => wid.server) === 'lid';
  return {
    lid: isLid ? own : text(() => WPP.whatsapp.lidPnCache.getCurrentLid(wid)),
    phone: isLid ? text(() => WPP.whatsapp.lidPnCache.getPhoneNumber(wid)) : own,
  };
};

/** What the agent calls, by name; each file adds its own. */
const waAgent = (window.waAgent = {});

/** Calls one of them. An error is answered by its code or name alone: its text may hold a number, or a message's. */
waAgent.call = async (name, ...given) => {
  try {
    return { value: (await waAgent[name](...given)) ?? null };
  } catch (error) {
    return { error: text(() => error.code || error.name || 'unknown') };
  }
};
