/* The bus between the page and its comms layer, and the older command bus beside it. */
(function () {
  'use strict';
  const { define, options } = self.StandIn;

  const BackendEvent = Object.freeze({
    APP_STATE_SYNC_COMPLETED: 'app_state_sync_completed',
    LOGOUT: 'logout',
    REFRESH_QR: 'refresh_qr',
    STARTING_LOGOUT: 'starting_logout',
    ON_CRITICAL_SYNC_DONE: 'on_critical_sync_done',
    STORAGE_INITIALIZATION_ERROR: 'storage_initialization_error',
    SOCKET_STREAM_DISCONNECTED: 'socket_stream_disconnected',
    OPEN_SOCKET_STREAM: 'open_socket_stream',
    RECONNECT_SOCKET: 'reconnect_socket',
    SET_SOCKET_STATE: 'set_socket_state',
    INITIAL_LOAD_READY: 'initial_load_ready',
    MAIN_STREAM_MODE_READY: 'main_stream_mode_ready',
    OFFLINE_DELIVERY_END: 'offline_delivery_end',
    OFFLINE_PROCESS_READY: 'offline_process_ready',
  });

  define('WAWebBackendEventBus', (exports, require) => {
    const EventEmitter = require('WAWebEventEmitter');

    class Bus extends EventEmitter {
      socketState = 'UNLAUNCHED';
      isMainStreamReadyMd = false;

      triggerSetSocketState(state) {
        this.socketState = state;
        this.trigger(BackendEvent.SET_SOCKET_STATE, state);
      }
      triggerReconnectSocket() {
        this.trigger(BackendEvent.RECONNECT_SOCKET);
      }
      triggerRefreshQR() {
        this.trigger(BackendEvent.REFRESH_QR);
      }
      triggerSocketStreamDisconnected() {
        this.trigger(BackendEvent.SOCKET_STREAM_DISCONNECTED);
      }
      triggerOpenSocketStream() {
        this.trigger(BackendEvent.OPEN_SOCKET_STREAM);
      }
      triggerOfflineDeliveryEnd() {
        this.trigger(BackendEvent.OFFLINE_DELIVERY_END);
      }
      triggerCriticalSyncDone() {
        this.trigger(BackendEvent.ON_CRITICAL_SYNC_DONE);
      }
      triggerMainStreamModeReady() {
        this.isMainStreamReadyMd = true;
        this.trigger(BackendEvent.MAIN_STREAM_MODE_READY);
        require('WAWebCmd').Cmd.onMainStreamModeReadyFromBridge();
      }
      triggerStartingLogout() {
        this.trigger(BackendEvent.STARTING_LOGOUT);
      }
      triggerLogout() {
        this.trigger(BackendEvent.LOGOUT);
        require('WAWebCmd').Cmd.onLogoutFromBridge();
      }
      triggerStorageInitializationError() {
        this.trigger(BackendEvent.STORAGE_INITIALIZATION_ERROR);
      }
      onStorageInitializationError(callback) {
        return this.on(BackendEvent.STORAGE_INITIALIZATION_ERROR, callback);
      }
    }

    exports.BackendEvent = BackendEvent;
    exports.BackendEventBus = new Bus();
  });

  define('WAWebCmd', (exports, require) => {
    const EventEmitter = require('WAWebEventEmitter');
    const legacy = options.vocabulary === 'legacy';

    class CmdImpl extends EventEmitter {
      onLogoutFromBridge() {
        this.trigger('logout_from_bridge');
        if (legacy) this.trigger('logout');
      }
      onMainStreamModeReadyFromBridge() {
        this.isMainStreamReadyMd = true;
        this.trigger('main_stream_mode_ready_from_bridge');
      }
      onOfflineProgressUpdateFromBridge() {
        this.trigger('offline_progress_update_from_bridge');
      }
      setActiveFilter(...args) {
        this.trigger('set_active_filter', ...args);
      }
    }

    const Cmd = new CmdImpl();
    // What wa-js 4.6.0 listens for; the newer builds only have the ..._from_bridge names.
    if (legacy) {
      Cmd.isMainLoaded = false;
      Cmd.onMainLoaded = () => {
        Cmd.isMainLoaded = true;
        Cmd.trigger('main_loaded');
      };
      Cmd.refreshQR = () => require('WAWebLaunchSocketUtils').refreshQR();
    }
    Object.assign(exports, { Cmd, CmdImpl });
  });
})();
