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

  // -- what the page is in ----------------------------------------------------------------------------------------

  // Before the loader has found its modules, asking wa-js would run WhatsApp's modules too early.
  const isInjected = () => window.WPP?.isInjected === true;

  const snapshot = () => {
    if (!isInjected()) return { injected: false };
    const { Stream, Socket } = WPP.whatsapp;
    return {
      injected: true,
      mode: attempt(() => Stream.mode),
      info: attempt(() => Stream.info),
      socket: attempt(() => Socket.state),
      authenticated: attempt(() => WPP.conn.isAuthenticated(), false),
      registered: attempt(() => WPP.conn.isRegistered(), false),
      version: attempt(() => window.Debug.VERSION),
      wa_js: attempt(() => WPP.version),
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
    if (isInjected() && snapshot().mode === 'QR') tellQr(await qrFromWaJs());
  };
  const watchQr = () => {
    const timer = setInterval(() => {
      if (isInjected() && WPP.whatsapp.Stream.mode === 'MAIN') return clearInterval(timer);
      lookForQr();
    }, QR_POLL_MS);
    const observer = new MutationObserver(() => tellQr(qrFromDom()));
    observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-ref'] });
    // A busy page mutates all the time; a paired one has no code to look for.
    WPP.on('conn.stream_mode_changed', (mode) => mode === 'MAIN' && observer.disconnect());
  };

  // -- messages ---------------------------------------------------------------------------------------------------

  const SEEN_AT_MOST = 10000;
  const text = (value) => (value === undefined || value === null ? null : String(value));
  const me = () => attempt(() => WPP.conn.getMyUserId());

  const seen = new Set();
  const isNew = (key) => {
    if (seen.has(key)) return false;
    seen.add(key);
    if (seen.size > SEEN_AT_MOST) seen.delete(seen.values().next().value);
    return true;
  };

  const lidAndPhone = (wid) => {
    if (!wid) return { lid: null, phone: null };
    const cache = attempt(() => WPP.whatsapp.lidPnCache);
    if (wid.server === 'lid') return { lid: String(wid), phone: text(attempt(() => cache.getPhoneNumber(wid))) };
    return { lid: text(attempt(() => cache.getCurrentLid(wid))), phone: String(wid) };
  };

  const chatName = (message) =>
    text(attempt(() => message.chat.name) || attempt(() => WPP.whatsapp.ChatStore.get(message.id.remote).name));

  const media = (message) =>
    message.mediaData || message.directPath
      ? {
          mimetype: text(message.mimetype),
          size: message.size ?? null,
          filehash: text(message.filehash),
          filename: text(message.filename),
          width: message.width ?? null,
          height: message.height ?? null,
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

  const tellMessage = (message) => {
    const key = message.id.toString(); // never _serialized: some builds lack it on first sight
    if (!isNew(key)) return;
    const isGroup = message.id.remote.isGroup();
    tell('message', {
      message: {
        key,
        chat_id: String(message.id.remote),
        chat_name: chatName(message),
        is_group: isGroup,
        author: lidAndPhone(isGroup ? message.author || message.id.participant : message.from),
        from_me: !!message.id.fromMe,
        type: text(message.type) ?? 'unknown',
        text: text(message.type === 'chat' ? message.body : message.caption),
        t: message.t ?? 0,
        quoted_key: quotedKey(message),
        forwarded: !!message.isForwarded,
        ephemeral: (message.ephemeralDuration ?? 0) > 0,
        media: media(message),
      },
    });
  };

  // What came before wa-js could listen raised no event; it is in the store, still marked new.
  const tellMissed = () => {
    for (const message of attempt(() => WPP.whatsapp.MsgStore.getModelsArray(), [])) {
      if (message.isNewMsg) attempt(() => tellMessage(message));
    }
  };

  // -- the agent's calls ------------------------------------------------------------------------------------------

  window.waAgent = {
    snapshot,
    account: () => lidAndPhone(me()),
    reconnect: () => WPP.whatsapp.Socket.reconnect(),
    refreshQr: () => WPP.whatsapp.BackendEventBus.triggerRefreshQR(),
    logout: () => WPP.whatsapp.Socket.logout(),
    // Asks the server something cheap, for the sake of an answer: what it says does not matter. Resolves when it has.
    askServer: async () => {
      const ask = WPP.whatsapp.functions;
      await attempt(() => (ask.queryWidExists ? ask.queryWidExists(me()) : ask.queryAllGroups()));
      return true;
    },
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
  WPP.on('chat.new_message', tellMessage);
  watchQr();
})();
