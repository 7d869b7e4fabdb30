/* The models of the connection: Conn, NetworkStatus, Socket. They say what the session last told them, no more. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('WAWebConnModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    class ConnImpl extends BaseModel {}
    exports.Conn = new ConnImpl({
      id: undefined,
      ref: undefined,
      connected: false,
      pushname: undefined,
      platform: undefined,
      wid: undefined,
      isSMB: false,
      battery: undefined,
    });
  });

  define('WAWebNetworkStatus', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    class NetworkStatusImpl extends BaseModel {
      checkOnline() {
        return true;
      }
    }
    exports.default = new NetworkStatusImpl({ online: true });
  });

  define('WAWebSocketModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { BackendEventBus } = require('WAWebBackendEventBus');
    const { SOCKET_STATE, SOCKET_STREAM } = require('WAWebSocketConstants');

    class SocketImpl extends BaseModel {
      /** Returns at once; the state tells how it goes. */
      reconnect() {
        BackendEventBus.triggerReconnectSocket();
      }
      takeover() {
        if (this.state !== SOCKET_STATE.CONFLICT) throw new Error('Takeover called without conflict!');
        require('StandInSession').connect();
      }
      logout(reason) {
        BackendEventBus.triggerStartingLogout();
        require('StandInSession').unlinkAndLogOut(reason);
      }
      async clearCredentialsAndStoredData() {
        await require('StandInSession').forgetAccount();
      }
    }

    const Socket = new SocketImpl({
      state: SOCKET_STATE.UNLAUNCHED,
      stream: SOCKET_STREAM.DISCONNECTED,
      hasSynced: undefined,
      socket: undefined,
      launchGeneration: 0,
      retryTimestamp: undefined,
    });
    const synced = () => Socket.set({ hasSynced: true, stream: SOCKET_STREAM.CONNECTED });

    BackendEventBus.on('set_socket_state', (state) => Socket.set({ state }));
    BackendEventBus.on('socket_stream_disconnected', () => Socket.set({ stream: SOCKET_STREAM.DISCONNECTED }));
    BackendEventBus.on('open_socket_stream', () => {
      if (Socket.hasSynced) Socket.set({ stream: SOCKET_STREAM.CONNECTED });
    });
    BackendEventBus.on('on_critical_sync_done', synced);
    BackendEventBus.on('main_stream_mode_ready', synced);
    exports.Socket = Socket;
  });
})();
