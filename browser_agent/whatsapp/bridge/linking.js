/*
 * The two codes by which this device is linked: the QR code, and the one for a phone number. The site takes one of them at
 * a time: asking for the second, it gives up the secret of the first, and goes back to it with a new one.
 */

const QR_POLL_MS = 250;

// -- the QR -----------------------------------------------------------------------------------------------------

// The page is being linked by a phone number: what it shows otherwise cannot be scanned.
let isByPhone = false;

// Without its secret a code lacks a part.
const isWhole = (code) => {
  const parts = code.split(',');
  return parts.length >= 4 && parts.every((part) => !['', 'null', 'undefined'].includes(part));
};

// The element holds the complete code, five parts, before wa-js is ready; wa-js' own lacks the last, the platform.
let lastQr = null;
// Refs, the first parts, of codes that are on show and cannot be scanned any more.
let voidRefs = [];
const refOf = (code) => code?.split(',')[0];
const tellQr = (payload) => {
  if (!payload || payload === lastQr || isByPhone || !isWhole(payload) || voidRefs.includes(refOf(payload))) return;
  lastQr = payload;
  tell('qr', { payload });
};
const onShow = () => document.querySelector('[data-ref]')?.getAttribute('data-ref');
const qrFromDom = () => {
  const code = onShow();
  return code && isWhole(code) ? code : null;
};
const qrFromWaJs = async () => {
  const code = await attempt(() => WPP.conn.getAuthCode());
  const full = code?.fullCode;
  if (!full || full.split(',').length > 4) return full;
  const platform = attempt(() => window.require('WAWebCompanionRegClientUtils').DEVICE_PLATFORM);
  return platform ? `${full},${platform}` : full;
};
const lookForQr = async () => {
  const found = qrFromDom();
  if (found) return tellQr(found);
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

// -- the code for a phone number --------------------------------------------------------------------------------

const VOID = ['refresh_alt_linking_code', 'force_manual_refresh', 'error_alt_linking'];
let backTimer;
let listensForVoid = false;

const refreshQr = () => WPP.whatsapp.BackendEventBus.triggerRefreshQR();

const backToQr = async () => {
  clearTimeout(backTimer);
  // Linked, or being linked by that code: there is nothing to go back to.
  if (!isByPhone || flag(() => WPP.conn.isRegistered())) return;
  // With its new secret the code that is on show would look whole until the new ones come.
  voidRefs = [refOf(onShow()), (await attempt(() => WPP.conn.getAuthCode()))?.ref];
  isByPhone = false;
  await attempt(() => window.require('WAWebAltDeviceLinkingApi').initializeQRLinking());
  refreshQr();
};

// The server, or the phone, made the code void; the site's own screen would ask for another, which nobody would read.
const listenForVoid = () => {
  if (listensForVoid) return;
  listensForVoid = attempt(() => {
    for (const event of VOID) WPP.whatsapp.LinkDeviceEvents.on(`link_device_events:${event}`, backToQr);
    return true;
  }, false);
};

// The error's type is WhatsApp's word for why; without one it is a build that has no such thing, or the error's name.
const whyNoCode = (error) => ({
  code:
    text(() => error.type?.name ?? null) ??
    (attempt(() => WPP.whatsapp.functions.initializeAltDeviceLinking) ? null : 'absent') ??
    text(() => error.code || error.name),
});

const rejectLater = (within_ms) =>
  new Promise((_, reject) => {
    setTimeout(reject, within_ms, { code: 'late' });
  });

Object.assign(waAgent, {
  refreshQr: async () => {
    if (isByPhone) await backToQr();
    else refreshQr();
  },

  /** The code for a phone number, in digits. The page goes back to QR codes by itself, after `kept_ms` at the latest. */
  pairingCode: async (phone, within_ms, kept_ms) => {
    clearTimeout(backTimer);
    isByPhone = true;
    listenForVoid();
    try {
      const asked = WPP.conn.genLinkDeviceCodeForPhoneNumber(phone, true);
      const code = await Promise.race([asked, rejectLater(within_ms)]);
      backTimer = setTimeout(backToQr, kept_ms);
      return code;
    } catch (error) {
      await backToQr().catch(() => null);
      throw whyNoCode(error);
    }
  },
});

WPP.on('conn.qrcode_idle', () => isByPhone || tell('qr_idle', {}));
WPP.on('conn.auth_code_change', lookForQr);
watchQr();
