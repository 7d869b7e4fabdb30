/*
 * Who this browser is to the server. The keys lie in IndexedDB, the account's address in localStorage, as on the
 * real site: a profile that lost either of them is not linked.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const ME = 'last-wid-md';
  const ME_DETAILS = 'me-display-name';

  class Credentials {
    #storage;
    #encode;
    #keys = null;
    #me = null;

    constructor(storage, base64) {
      this.#storage = storage;
      this.#encode = base64.encodeB64;
      this.#me = this.#remembered();
    }

    /** The account this browser is linked to ({phone, lid, name}), or null. */
    get me() {
      return this.#me;
    }

    get keys() {
      return this.#keys;
    }

    /** Reads the keys, or mints new ones; a browser with half of its credentials starts over. */
    async load() {
      this.#keys = (await this.#storage.get('keys')) || null;
      const linked = Boolean(this.#keys && this.#keys.device && this.#me);
      if (linked) return;
      if (this.#me || (this.#keys && this.#keys.device)) await this.clear();
      if (!this.#keys) await this.#mint();
      if (!this.#keys.advSecret) await this.mintAdvSecret();
    }

    /** What only who has scanned the QR code knows; null while there is none. */
    async setAdvSecret(advSecret) {
      this.#keys = { ...this.#keys, advSecret };
      await this.#storage.putAll([['keys', this.#keys]]);
    }

    async mintAdvSecret() {
      await this.setAdvSecret(this.#random());
    }

    async accept({ me, device, key }) {
      this.#keys = { ...this.#keys, device, deviceKey: key };
      await this.#storage.putAll([['keys', this.#keys]]);
      localStorage.setItem(ME, JSON.stringify(`${me.phone.replace('@', `:${device}@`)}`));
      localStorage.setItem(ME_DETAILS, JSON.stringify(me));
      this.#me = me;
    }

    /** The answer to the server's challenge: only the browser that was paired can give it. */
    async prove(challenge) {
      const secret = Uint8Array.from(atob(this.#keys.deviceKey), (char) => char.charCodeAt(0));
      const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
      const proof = await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(challenge));
      return Array.from(new Uint8Array(proof), (byte) => byte.toString(16).padStart(2, '0')).join('');
    }

    async clear() {
      this.#me = null;
      this.#keys = null;
      localStorage.removeItem(ME);
      localStorage.removeItem(ME_DETAILS);
      await this.#storage.clear();
    }

    #remembered() {
      if (localStorage.getItem(ME) === null) return null;
      return JSON.parse(localStorage.getItem(ME_DETAILS));
    }

    async #mint() {
      this.#keys = { noise: this.#random(), identity: this.#random() };
      await this.mintAdvSecret();
    }

    #random() {
      return this.#encode(crypto.getRandomValues(new Uint8Array(32)));
    }
  }

  define('StandInCredentials', (exports, require) => {
    exports.default = new Credentials(require('StandInStorage').keys, require('WABase64'));
  });

  define('WAWebUserPrefsMultiDevice', (exports, require) => Object.assign(exports, {
    isRegistered: () => require('StandInCredentials').me !== null,
    getADVSecretKey: () => require('StandInCredentials').keys.advSecret,
  }));
  define('WAWebUserPrefsIsLoggedIn', (exports, require) => {
    let connectedAsRegistered = false;
    Object.assign(exports, {
      isLoggedIn: () => require('StandInCredentials').me !== null && connectedAsRegistered,
      getIsConnectedAsRegistered: () => connectedAsRegistered,
      setIsConnectedAsRegistered(value) {
        connectedAsRegistered = value;
      },
    });
  });
  define('WAWebAdvSignatureApi', (exports, require) => Object.assign(exports, {
    getADVSecretKey: () => require('StandInCredentials').keys.advSecret,
    setADVSignedIdentity() {},
  }));
  define('WAWebUserPrefsInfoStore', (exports, require) => {
    const bytes = (text) => require('WABase64').decodeB64(text);
    exports.waNoiseInfo = {
      get: async () => ({ staticKeyPair: { pubKey: bytes(require('StandInCredentials').keys.noise) } }),
    };
  });
  define('WAWebSignalStoreApi', (exports, require) => {
    const bytes = (text) => require('WABase64').decodeB64(text);
    exports.waSignalStore = {
      getRegistrationInfo: async () => ({
        registrationId: 1,
        identityKeyPair: { pubKey: bytes(require('StandInCredentials').keys.identity) },
      }),
    };
  });
  define('WAWebCompanionRegClientUtils', (exports) => {
    exports.DEVICE_PLATFORM = '1';
  });
  define('WAWebUserPrefsMeUser', (exports, require) => {
    const credentials = require('StandInCredentials');
    const { createWid } = require('WAWebWidFactory');
    const phone = () => (credentials.me ? createWid(credentials.me.phone) : undefined);
    const lid = () => (credentials.me ? createWid(credentials.me.lid) : undefined);
    const orThrow = (get) => () => {
      const wid = get();
      if (!wid) throw new Error('me is not set');
      return wid;
    };
    Object.assign(exports, {
      getMaybeMePnUser: phone,
      getMaybeMeLidUser: lid,
      getMePnUserOrThrow: orThrow(phone),
      getMeLidUserOrThrow: orThrow(lid),
      getMeDevicePnOrThrow: orThrow(phone),
      getMeDeviceLidOrThrow: orThrow(lid),
      getMePNandLIDWids: () => [phone(), lid()],
      isMeAccount: (wid) => Boolean(credentials.me) && [credentials.me.phone, credentials.me.lid].includes(String(wid)),
      getMaybeMeDisplayName: () => credentials.me && credentials.me.name,
    });
  });
})();
