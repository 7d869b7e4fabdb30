/* Media that came: opaque data, the caches that wa-js looks into, the download. */
(function () {
  'use strict';
  const { define, options } = self.StandIn;

  async function sha256(buffer) {
    return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest('SHA-256', buffer))));
  }

  define('WAWebMediaOpaqueData', (exports) => {
    class OpaqueData {
      #blob;
      constructor(blob) {
        this.#blob = blob;
      }
      static async createFromData(data, type) {
        const blob = data instanceof Blob ? data.slice(0, data.size, type || data.type) : new Blob([data], { type });
        const opaque = new OpaqueData(blob);
        opaque.name = data.name;
        return opaque;
      }
      throwIfReleased() {}
      retain() {}
      autorelease() {}
      autoreleaseWhenPromiseCompletes() {}
      type() {
        return this.#blob.type;
      }
      size() {
        return this.#blob.size;
      }
      url() {
        return URL.createObjectURL(this.#blob);
      }
      forceToBlob() {
        return this.#blob;
      }
      formData() {
        return this.#blob;
      }
    }
    exports.default = OpaqueData;
  });

  define('WAWebMediaDataModel', (exports, require) => {
    const { BaseModel } = require('WAWebBaseModel');
    class MediaData extends BaseModel {}
    MediaData.prototype.proxyName = 'media-data';
    exports.MediaData = MediaData;
  });

  define('WAWebMediaStore', (exports) => {
    const buffers = new Map();
    exports.LruMediaStore = {
      get: async (hash) => buffers.get(hash),
      put: async (hash, buffer) => void buffers.set(hash, buffer),
      del: async (hash) => buffers.delete(hash),
      has: async (hash) => buffers.has(hash),
      count: async () => buffers.size,
      clear: async () => buffers.clear(),
    };
  });

  define('WAWebMediaInMemoryBlobCache', (exports) => {
    class InMemoryMediaBlobCacheImpl {
      #blobs = new Map();
      has(hash) {
        return this.#blobs.has(hash);
      }
      get(hash) {
        return this.#blobs.get(hash);
      }
      put(hash, blob) {
        this.#blobs.set(hash, blob);
      }
    }
    Object.assign(exports, {
      InMemoryMediaBlobCacheImpl,
      InMemoryMediaBlobCache: new InMemoryMediaBlobCacheImpl(),
    });
  });

  define('StandInMedia', (exports, require) => {
    exports.sha256 = sha256;

    const GONE = [404, 410];

    /**
     * Where the real one fetches from the media hosts and decrypts. What cannot be had is told by the stage, not by
     * an exception: whatsapp-web.js looks for ERROR there. With a reason for it, media that is gone from the host is
     * asked of the phone (`rmr`: request media re-upload), which takes as long as the phone takes.
     */
    exports.download = async (message, { rmrReason } = {}) => {
      const { mediaData } = message;
      let response = await get(mediaData);
      if (response && GONE.includes(response.status) && rmrReason) {
        mediaData.set({ mediaStage: 'REUPLOADING' });
        if (await uploadedAgain(message)) response = await get(mediaData);
      }
      if (!response || !response.ok) {
        mediaData.set({ mediaStage: response && GONE.includes(response.status) ? 'ERROR_MISSING' : 'ERROR_UNKNOWN' });
        return;
      }
      const buffer = await response.arrayBuffer().catch(() => null);
      if (!buffer || (options.check_media_hash && (await sha256(buffer)) !== mediaData.filehash)) {
        mediaData.set({ mediaStage: 'ERROR_UNKNOWN' });
        return;
      }
      await require('WAWebMediaStore').LruMediaStore.put(mediaData.filehash, buffer);
      const OpaqueData = require('WAWebMediaOpaqueData');
      const mediaBlob = new OpaqueData(new Blob([buffer], { type: mediaData.mimetype }));
      mediaData.set({ mediaBlob, mediaStage: 'RESOLVED' });
    };

    function get(mediaData) {
      mediaData.set({ mediaStage: 'FETCHING' });
      return fetch(mediaData.directPath).catch(() => null);
    }

    async function uploadedAgain(message) {
      const key = String(message.id);
      const args = { key, path: message.mediaData.directPath };
      const { directPath } = await require('StandInLink').query('media_retry', args);
      if (!directPath) return false;
      message.mediaData.set({ directPath });
      message.set({ directPath });
      require('StandInKeeping').change(key, (kept) => ({ ...kept, media: { ...kept.media, directPath } }));
      return true;
    }
  });

  // Only whatsapp-web.js asks for these.
  define('WAWebDownloadManager', (exports) => {
    exports.downloadManager = {
      async downloadAndMaybeDecrypt({ directPath }) {
        const response = await fetch(directPath);
        if (!response.ok) throw Object.assign(new Error('media fetch failed'), { status: response.status });
        return response.arrayBuffer();
      },
    };
  });
  define('WAWebMediaStorage', (exports) => {
    const objects = new Map();
    exports.getOrCreateMediaObject = (filehash) => {
      if (!objects.has(filehash)) {
        const consolidate = function (data) {
          Object.assign(this, data);
        };
        objects.set(filehash, { filehash, contentInfo: {}, consolidate });
      }
      return objects.get(filehash);
    };
  });
  define('WAWebMmsMediaTypes', (exports) => Object.assign(exports, {
    msgToMediaType: (message) => message.type,
    castToV4: (type) => type,
  }));
  define('WAWebMediaDataUtils', (exports) => {
    exports.shouldUseMediaCache = () => false;
  });
})();
