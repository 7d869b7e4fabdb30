/* Media that goes: preparing, uploading, sending. */
(function () {
  'use strict';
  const { define } = self.StandIn;
  const MEBIBYTE = 1024 * 1024;

  function kindOf(mimetype, { asDocument, asSticker, isPtt } = {}) {
    if (asDocument) return 'document';
    if (asSticker) return 'sticker';
    if (isPtt) return 'ptt';
    const [family] = mimetype.split('/');
    return ['image', 'video', 'audio'].includes(family) ? family : 'document';
  }

  define('WAWebMediaGatingUtils', (exports) => {
    exports.getUploadLimit = (type) => (type === 'document' ? 2048 : 64) * MEBIBYTE;
  });
  define('WAWebServerPropConstants', (exports) => Object.assign(exports, {
    MAX_FILE_SIZE_BYTES: 100 * MEBIBYTE,
    MULTICAST_LIMIT_GLOBAL: 5,
  }));

  define('WAWebMediaMmsV4Upload', (exports) => {
    async function uploadMedia({ blob: given, mediaObject, mimetype, filename }) {
      const blob = given || mediaObject.mediaBlob.forceToBlob();
      const query = new URLSearchParams({ mimetype: mimetype || blob.type, filename: filename || '' });
      const response = await fetch(`/media?${query}`, { method: 'POST', body: blob });
      if (!response.ok) throw new Error(`media upload failed with ${response.status}`);
      const { directPath, filehash, mediaKey } = await response.json();
      return {
        mediaEntry: {
          mmsUrl: directPath,
          deprecatedMms3Url: directPath,
          directPath,
          mediaKey,
          mediaKeyTimestamp: Math.floor(Date.now() / 1000),
          encFilehash: filehash,
          uploadHash: filehash,
          sidecar: null,
          firstFrameSidecar: null,
          handle: null,
        },
      };
    }
    Object.assign(exports, { uploadMedia, uploadUnencryptedMedia: uploadMedia });
  });

  define('WAWebPrepRawMedia', (exports, require) => {
    const MsgKey = require('WAWebMsgKey');

    class MediaPrep {
      #preparing;

      constructor(type, preparing) {
        this.type = type;
        this.#preparing = preparing;
      }

      async waitForPrep() {
        this._mediaData = await this.#preparing; // wa-js looks for it under this name
        return this._mediaData;
      }

      // One parameter: wa-js counts them to tell this build from an older one.
      async sendToChat({ chat, options = {} }) {
        const media = await this.waitForPrep();
        const given = options.productMsgOptions || {};
        // The very object that wa-js made, if it did: it waits for the message with this id.
        const id = given.id || (await this.#newKey(chat));
        const { type, mimetype, filename, size, filehash } = media;
        const attributes = {
          isViewOnce: options.isViewOnce, mimetype, filename, size, filehash, mediaData: media,
          ...given,
          id, type, caption: options.caption,
        };
        const [, result] = require('StandInOutgoing').addAndSend(chat, attributes, () => this.#upload(media));
        return result;
      }

      /** In the chat already, the message waits for this; the answer is what it says of the upload. */
      async #upload(media) {
        const { mimetype, filename } = media;
        media.set({ mediaStage: 'UPLOADING' });
        try {
          const { mediaEntry } = await require('WAWebMediaMmsV4Upload').uploadMedia({
            blob: media.mediaBlob.forceToBlob(), mimetype, filename,
          });
          const { directPath, mediaKey } = mediaEntry;
          media.set({ directPath, mediaStage: 'RESOLVED' });
          return { directPath, mediaKey };
        } catch (error) {
          media.set({ mediaStage: 'ERROR_UNKNOWN' });
          throw error;
        }
      }

      async #newKey(chat) {
        const from = require('WAWebUserPrefsMeUser').getMaybeMePnUser();
        return new MsgKey({ from, to: chat.id, id: await MsgKey.newId(), selfDir: 'out' });
      }
    }

    async function prepare(opaque, type) {
      const { MediaData } = require('WAWebMediaDataModel');
      const blob = opaque.forceToBlob();
      const filehash = await require('StandInMedia').sha256(await blob.arrayBuffer());
      return new MediaData({
        type, mimetype: blob.type, size: blob.size, filehash, filename: opaque.name, mediaStage: 'PREPARING',
        mediaBlob: opaque,
      });
    }

    Object.assign(exports, {
      MediaPrep,
      uploadProductImage() {},
      prepRawMedia(opaque, options) {
        const type = kindOf(opaque.type(), options);
        return new MediaPrep(type, prepare(opaque, type));
      },
    });
  });
})();
