/*
 * Runs in the page behind the wa-js bundle, from the document's start. It tells the agent what changes (through the
 * binding `waAgentTell`, the fastest way out of a page) and answers the agent's calls (`waAgent.*`).
 *
 * It knows WhatsApp Web only through wa-js and the DOM's QR element. Names differ between builds of the site, so
 * it takes both vocabularies: what works on old and new builds is written in page.py's sources.
 */
(() => {
  'use strict';
  const QR_POLL_MS = 250;

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
  const whole = (read) => {
    const number = attempt(() => Math.round(read() ?? NaN));
    return Number.isSafeInteger(number) ? number : null;
  };

  // -- what the page is in ----------------------------------------------------------------------------------------

  // Before the loader has found its modules, asking wa-js would run WhatsApp's modules too early.
  const isInjected = () => window.WPP?.isInjected === true;

  const mode = () => (isInjected() ? text(() => WPP.whatsapp.Stream.mode) : null);

  const snapshot = () => {
    if (!isInjected()) return { injected: false };
    return {
      injected: true,
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

  // -- the QR -----------------------------------------------------------------------------------------------------

  // The element holds the complete code, five parts, before wa-js is ready; wa-js' own lacks the last, the platform.
  let lastQr = null;
  const tellQr = (payload) => {
    if (!payload || payload === lastQr) return;
    lastQr = payload;
    tell('qr', { payload });
  };
  const qrFromDom = () => {
    const ref = document.querySelector('[data-ref]')?.getAttribute('data-ref');
    return ref && ref.split(',').length >= 4 ? ref : null;
  };
  const qrFromWaJs = async () => {
    const code = await attempt(() => WPP.conn.getAuthCode());
    const full = code?.fullCode;
    if (!full || full.split(',').length > 4) return full;
    const platform = attempt(() => window.require('WAWebCompanionRegClientUtils').DEVICE_PLATFORM);
    return platform ? `${full},${platform}` : full;
  };
  const lookForQr = async () => {
    const onShow = qrFromDom();
    if (onShow) return tellQr(onShow);
    if (mode() === 'QR') tellQr(await qrFromWaJs());
  };
  const watchQr = () => {
    const timer = setInterval(() => {
      if (mode() === 'MAIN') return clearInterval(timer);
      lookForQr();
    }, QR_POLL_MS);
    const observer = new MutationObserver(() => tellQr(qrFromDom()));
    observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-ref'] });
    // A busy page mutates all the time; a paired one has no code to look for.
    WPP.on('conn.stream_mode_changed', (mode) => mode === 'MAIN' && observer.disconnect());
  };

  // -- messages ---------------------------------------------------------------------------------------------------

  const SEEN_AT_MOST = 10000;
  const me = () => attempt(() => WPP.conn.getMyUserId());

  const seen = new Set();
  const remember = (key) => {
    seen.add(key);
    if (seen.size > SEEN_AT_MOST) seen.delete(seen.values().next().value);
  };

  const lidAndPhone = (wid) => {
    if (!wid) return { lid: null, phone: null };
    const own = text(() => wid);
    const isLid = attempt(() => wid.server) === 'lid';
    return {
      lid: isLid ? own : text(() => WPP.whatsapp.lidPnCache.getCurrentLid(wid)),
      phone: isLid ? text(() => WPP.whatsapp.lidPnCache.getPhoneNumber(wid)) : own,
    };
  };

  const chatName = (message) =>
    text(() => message.chat.name || null) ?? text(() => WPP.whatsapp.ChatStore.get(message.id.remote).name);

  const media = (message) =>
    message.mediaData || message.directPath
      ? {
          mimetype: text(() => message.mimetype),
          size: whole(() => message.size),
          filehash: text(() => message.filehash),
          filename: text(() => message.filename),
          width: whole(() => message.width),
          height: whole(() => message.height),
        }
      : null;

  // A message names the one it quotes by id and author only; its key is put together as WhatsApp does.
  const quotedKey = (message) => {
    if (!message.quotedStanzaID) return null;
    const author = message.quotedParticipant;
    const chat = message.quotedRemoteJid || message.id.remote;
    const parts = [!!author && String(author) === String(me()), chat, message.quotedStanzaID];
    return (message.id.remote.isGroup() && author ? [...parts, author] : parts).map(String).join('_');
  };

  // Key and chat are what a message is; whatever else cannot be read is left out.
  const tellMessage = (message) => {
    const key = message.id.toString(); // never _serialized: some builds lack it on first sight
    if (seen.has(key)) return;
    const chatId = String(message.id.remote);
    const isGroup = attempt(() => message.id.remote.isGroup(), chatId.endsWith('@g.us'));
    const type = text(() => message.type) ?? 'unknown';
    tell('message', {
      message: {
        key: key.toWellFormed(),
        chat_id: chatId.toWellFormed(),
        chat_name: chatName(message),
        is_group: isGroup,
        author: lidAndPhone(attempt(() => (isGroup ? message.author || message.id.participant : message.from))),
        from_me: flag(() => message.id.fromMe),
        type,
        text: text(() => (type === 'chat' ? message.body : message.caption)),
        t: whole(() => message.t),
        quoted_key: text(() => quotedKey(message)),
        forwarded: flag(() => message.isForwarded),
        ephemeral: flag(() => message.ephemeralDuration > 0),
        media: attempt(() => media(message)),
      },
    });
    remember(key);
  };

  // The error's name alone: its text may hold a message's.
  const orTrouble = (where, act) => (...given) => {
    try {
      act(...given);
    } catch (error) {
      tell('trouble', { where, error: text(() => error.name) ?? 'unknown' });
    }
  };
  const takeMessage = orTrouble('message', tellMessage);

  // What came before wa-js could listen raised no event; it is in the store, still marked new.
  const tellMissed = orTrouble('missed messages', () => {
    for (const message of attempt(() => WPP.whatsapp.MsgStore.getModelsArray(), [])) {
      if (flag(() => message.isNewMsg)) takeMessage(message);
    }
  });

  // -- the agent's calls ------------------------------------------------------------------------------------------

  const isStarted = (query) =>
    attempt(() => {
      Promise.resolve(query()).catch(() => {});
      return true;
    }, false);

  window.waAgent = {
    snapshot,
    localStorage: () => ({
      origin: location.origin,
      items: Object.fromEntries(Object.keys(localStorage).map((key) => [key, localStorage.getItem(key)])),
    }),
    account: () => lidAndPhone(me()),
    reconnect: () => WPP.whatsapp.Socket.reconnect(),
    refreshQr: () => WPP.whatsapp.BackendEventBus.triggerRefreshQR(),
    logout: () => WPP.whatsapp.Socket.logout(),
    // Asks the server something cheap, for the sake of an answer: what it says does not matter, nor is it awaited.
    // Whether there was something to ask with.
    askServer: () =>
      (me() !== null && isStarted(() => WPP.whatsapp.functions.queryWidExists(me()))) ||
      isStarted(() => WPP.whatsapp.functions.queryAllGroups()),
  };

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
  WPP.on('conn.qrcode_idle', () => tell('qr_idle', {}));
  WPP.on('conn.auth_code_change', lookForQr);
  for (const name of ['loader.injected', 'loader.ready', 'conn.stream_mode_changed']) {
    WPP.on(name, () => setTimeout(tellMissed, 0));
  }
  WPP.on('chat.new_message', takeMessage);
  watchQr();
})();
