/* Stream: what the user interface shows, derived from Socket. */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const mirror = (...names) => Object.freeze(Object.fromEntries(names.map((name) => [name, name])));

  define('WAWebStreamModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    const { Socket } = require('WAWebSocketModel');
    const { isRegistered } = require('WAWebUserPrefsMultiDevice');
    const network = require('WAWebNetworkStatus');

    const StreamMode = mirror(
      'QR', 'MAIN', 'SYNCING', 'OFFLINE', 'CONFLICT', 'PROXYBLOCK', 'TOS_BLOCK', 'SMB_TOS_BLOCK',
    );
    const StreamInfo = mirror('OFFLINE', 'OPENING', 'PAIRING', 'SYNCING', 'RESUMING', 'CONNECTING', 'NORMAL');

    function info() {
      if (Socket.state === 'OPENING') return network.online ? StreamInfo.OPENING : StreamInfo.OFFLINE;
      if (Socket.state === 'PAIRING') return Socket.hasSynced ? StreamInfo.RESUMING : StreamInfo.PAIRING;
      if (Socket.state === 'CONNECTED' && !Socket.hasSynced) return StreamInfo.SYNCING;
      return StreamInfo.NORMAL;
    }

    function mode() {
      if (Socket.state === 'PROXYBLOCK') return StreamMode.PROXYBLOCK;
      if (!isRegistered()) return StreamMode.QR;
      if (['CONFLICT', 'TOS_BLOCK', 'SMB_TOS_BLOCK'].includes(Socket.state)) return StreamMode[Socket.state];
      if (Socket.state.startsWith('UNPAIRED')) return StreamMode.QR;
      // Once synced, the chats stay on the screen through every loss of the link.
      return Socket.hasSynced ? StreamMode.MAIN : StreamMode.SYNCING;
    }

    class StreamImpl extends BaseModel {
      markAvailable() {
        this.available = true;
      }
      markUnavailable() {
        this.available = false;
      }
      sendAvailability() {}
      refresh() {
        const now = info();
        this.set({ info: now, displayInfo: now, mode: mode(), hasSynced: Socket.hasSynced });
      }
    }

    const Stream = new StreamImpl({
      id: '1',
      info: StreamInfo.NORMAL,
      displayInfo: StreamInfo.NORMAL,
      mode: isRegistered() ? StreamMode.SYNCING : StreamMode.QR,
      needsUpdate: undefined,
      available: true,
      hasSynced: undefined,
    });
    Socket.on('change:state change:stream change:hasSynced', () => Stream.refresh());
    network.on('change:online', () => Stream.refresh());
    Object.assign(exports, { Stream, StreamMode, StreamInfo });
  });
})();
