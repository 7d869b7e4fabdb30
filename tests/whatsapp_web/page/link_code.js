/*
 * The code for a phone number. As on the real site one way to link excludes the other: the secret that a QR code needs
 * is given up when the first step of this one is taken, and is another when the page goes back.
 */
(function () {
  'use strict';
  const { define } = self.StandIn;

  class CompanionHelloError extends Error {
    name = 'CompanionHelloError';

    constructor(type) {
      super('companion hello failed');
      this.type = type;
    }
  }

  define('WAWebLinkDeviceEvents', (exports, require) => {
    const EventEmitter = require('WAWebEventEmitter');
    exports.WAWebLinkDeviceEvents = new EventEmitter();
  });

  define('WAWebAltDeviceLinkingApi', (exports, require) => {
    const credentials = require('StandInCredentials');
    let begun = false;

    async function initializeAltDeviceLinking() {
      await credentials.setAdvSecret(null);
      begun = true;
    }

    async function initializeQRLinking() {
      begun = false;
      await credentials.mintAdvSecret();
    }

    async function linkCode(phone, push) {
      if (!begun) throw new Error('alt pairing: not initialized');
      begun = false;
      const answer = await require('StandInLink').query('link_code', { phone: String(phone), push: Boolean(push) });
      if (answer.error) throw new CompanionHelloError({ name: answer.error, value: { text: 'refused' } });
      return answer.code;
    }

    Object.assign(exports, {
      setPairingType() {},
      initializeAltDeviceLinking,
      initializeQRLinking,
      startAltLinkingFlow: linkCode,
      genLinkDeviceCodeForPhoneNumber: linkCode,
    });
  });
})();
