/*
 * The page's side of the conversation with the server: registering, logging in, syncing, being told to leave.
 * It moves Socket's state; everything a library listens to follows from that.
 */
(function () {
  'use strict';
  const { define, options } = self.StandIn;
  const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  define('StandInSession', (exports, require) => {
    const { BackendEventBus } = require('WAWebBackendEventBus');
    const { Cmd } = require('WAWebCmd');
    const { Conn } = require('WAWebConnModel');
    const { Socket } = require('WAWebSocketModel');
    const { createWid } = require('WAWebWidFactory');
    const { setIsConnectedAsRegistered } = require('WAWebUserPrefsIsLoggedIn');
    const credentials = require('StandInCredentials');
    const incoming = require('StandInIncoming');
    const link = require('StandInLink');
    const outgoing = require('StandInOutgoing');
    const people = require('StandInPeople');
    const qr = require('StandInQr');
    const storage = require('StandInStorage');

    let afterLoad = true;
    let freshlyPaired = false;
    let leaving = false;
    let offlineDelivered;

    const setState = (state) => BackendEventBus.triggerSetSocketState(state);

    exports.connect = () => {
      BackendEventBus.triggerSocketStreamDisconnected();
      setState('OPENING');
      link.open();
    };

    const handlers = {
      async hello({ challenge }) {
        if (credentials.me === null) {
          const { noise, identity } = credentials.keys;
          const platform = require('WAWebCompanionRegClientUtils').DEVICE_PLATFORM;
          link.send({ type: 'register', noise_key: noise, identity_key: identity, platform });
          return;
        }
        setState('PAIRING');
        const proof = await credentials.prove(challenge);
        link.send({ type: 'login', device: credentials.keys.device, proof, after_load: afterLoad });
      },

      // --- an unpaired page

      qr_refs({ refs }) {
        link.established();
        qr.begin(refs);
      },
      link_code_void({ event }) {
        require('WAWebLinkDeviceEvents').WAWebLinkDeviceEvents.trigger(`link_device_events:${event}`);
      },
      async paired({ device, key, me }) {
        qr.end();
        await credentials.accept({ device, key, me });
        freshlyPaired = true;
        afterLoad = false;
        Conn.set({ ref: undefined });
        setIsConnectedAsRegistered(true);
        // The server ends the stream at this; the new one logs in.
        link.send({ type: 'pair_accepted' });
        exports.connect();
      },

      // --- a linked page

      welcome({ roster }) {
        afterLoad = false;
        const { me } = credentials;
        setIsConnectedAsRegistered(true);
        Conn.set({ connected: true, pushname: me.name, platform: 'android', wid: createWid(me.phone) });
        people.learn(roster);
        setState('CONNECTED');
        BackendEventBus.triggerOpenSocketStream();
        link.established();
        if (!Socket.hasSynced) sync();
      },
      roster({ roster }) {
        people.learn(roster);
      },
      history({ messages }) {
        incoming.receiveHistory(messages);
      },
      message({ message }) {
        incoming.receive(message);
      },
      offline_end() {
        BackendEventBus.triggerOfflineDeliveryEnd();
        if (offlineDelivered) offlineDelivered();
      },
      ack(frame) {
        link.answered(frame);
      },
      result(frame) {
        link.answered(frame);
      },
      receipt(frame) {
        require('StandInReceipts').receive(frame);
      },
      reaction(frame) {
        require('StandInReactions').receive(frame);
      },
      edit(frame) {
        require('StandInChanges').edited(frame);
      },
      revoke(frame) {
        require('StandInChanges').revoked(frame);
      },
      pong() {},

      stream_error({ reason, state }) {
        link.close();
        if (state) setState(state);
        else logOut(reason);
      },
    };

    // Offline messages first, then the page is ready: as long as the options say, at least.
    async function sync() {
      const delivered = new Promise((resolve) => {
        offlineDelivered = resolve;
      });
      await Promise.all([delivered, delay(freshlyPaired ? options.sync_ms : options.resume_ms)]);
      Cmd.onOfflineProgressUpdateFromBridge();
      if (Cmd.onMainLoaded) Cmd.onMainLoaded();
      if (freshlyPaired) BackendEventBus.triggerCriticalSyncDone();
      else BackendEventBus.triggerMainStreamModeReady();
      outgoing.resendUnsent();
    }

    function lost() {
      qr.end();
      BackendEventBus.triggerSocketStreamDisconnected();
      setState('OPENING');
    }

    // --- leaving the account

    async function logOut(reason) {
      if (leaving) return;
      console.info(`logged out: ${reason}`);
      leaving = true;
      link.close();
      await exports.forgetAccount();
      BackendEventBus.triggerLogout();
      location.replace('/?post_logout=1&logout_reason=0');
    }

    exports.forgetAccount = async () => {
      setIsConnectedAsRegistered(false);
      await require('StandInKeeping').stop();
      await Promise.all([credentials.clear(), storage.messages.clear()]);
      Socket.unset('hasSynced');
    };

    /** Logged out by the user: the server is told first, though nothing waits for it for ever. */
    exports.unlinkAndLogOut = async (reason = 'user_initiated') => {
      await Promise.race([link.query('unlink'), delay(5000)]);
      await logOut(reason);
    };

    link.listen((frame) => handlers[frame.type](frame), lost);
    BackendEventBus.on('reconnect_socket', () => {
      if (Socket.state !== 'UNLAUNCHED' && !leaving) exports.connect();
    });
  });
})();
