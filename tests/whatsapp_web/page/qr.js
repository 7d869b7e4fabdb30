/* Codes to scan: the refs one after the other. */
(function () {
  'use strict';
  const { define, options } = self.StandIn;

  define('StandInQr', (exports, require) => {
    const { BackendEventBus } = require('WAWebBackendEventBus');
    const { Conn } = require('WAWebConnModel');
    const { DEVICE_PLATFORM } = require('WAWebCompanionRegClientUtils');
    const credentials = require('StandInCredentials');
    const link = require('StandInLink');

    let refs = [];
    let shown = 0;
    let timer;

    /** The code as the DOM carries it and the phone scans it; while a phone number's is in force it lacks a part. */
    exports.code = () => {
      const { noise, identity, advSecret } = credentials.keys;
      return [Conn.ref, noise, identity, advSecret, DEVICE_PLATFORM].join(',');
    };

    /** The server handed out new refs: show the first. */
    exports.begin = (newRefs) => {
      refs = newRefs;
      shown = 0;
      show();
    };

    exports.rotate = () => {
      if (refs.length === 0) exports.idle();
      else show();
    };

    exports.idle = () => {
      exports.end();
      link.send({ type: 'idle' });
      BackendEventBus.triggerSetSocketState('UNPAIRED_IDLE');
    };

    exports.end = () => {
      clearTimeout(timer);
      refs = [];
    };

    function show() {
      clearTimeout(timer);
      Conn.ref = refs.shift();
      BackendEventBus.triggerSetSocketState('UNPAIRED');
      timer = setTimeout(exports.rotate, 1000 * (shown === 0 ? options.qr_first_s : options.qr_next_s));
      shown += 1;
    }

    exports.refresh = () => link.send({ type: 'refresh_refs' });
    BackendEventBus.on('refresh_qr', exports.refresh);
  });

  define('WAWebLaunchSocketUtils', (exports, require) => Object.assign(exports, {
    refreshQR: () => require('StandInQr').refresh(),
    startCommsAndHandleRequests() {},
  }));
})();
