/* Files of messages: fetched by the page, handed out as a Blob, let go afterwards. */

const EARLIER_LOADS_AT_MOST = 3;
const REUPLOAD_PATIENCE_MS = 5000;
const STAGE_LOOK_MS = 250;

// After a reload the page has loaded some of its messages: wa-js looks for others on the page's disk. What is not
// there either may be among the earlier ones, which the phone is asked for.
const messageOfMedia = async (key) => {
  for (let loads = 0; ; loads += 1) {
    try {
      return await WPP.chat.getMessageById(key);
    } catch (error) {
      if (error?.code !== 'msg_not_found' || loads === EARLIER_LOADS_AT_MOST) throw error;
      const chat = WPP.whatsapp.ChatStore.get(key.split('_')[1]);
      const { loadEarlierMsgs } = window.require('WAWebChatLoadMessages');
      if (!(await loadEarlierMsgs({ chat }))?.length) throw error;
    }
  }
};

const stageOf = (message) => text(() => message.mediaData.mediaStage);

// The page's own Blob where it has one: wa-js makes another from the page's cache, at the cost of a copy.
const ownBlob = (message) => attempt(() => message.mediaData.mediaBlob.forceToBlob());

const downloaded = async (message, key) => {
  if (ownBlob(message)) return ownBlob(message);
  // `rmrReason`: where the media server has it no more, the page asks the sender's phone to upload it again.
  await message.downloadMedia({ downloadEvenIfExpensive: true, rmrReason: 1, isUserInitiated: true });
  if (ownBlob(message)) return ownBlob(message);
  if (stageOf(message)?.includes('ERROR')) return null;
  return WPP.chat.downloadMedia(key);
};

// The sender's phone may be off for hours: the page waits for it by itself, and a later call finds what came.
const unlessAskedForLong = (message, work) =>
  new Promise((resolve, reject) => {
    let since = null;
    const look = () => {
      since = stageOf(message) === 'REUPLOADING' ? (since ?? Date.now()) : null;
      if (since !== null && Date.now() - since > REUPLOAD_PATIENCE_MS) reject({ code: 'reuploading' });
    };
    const timer = setInterval(look, STAGE_LOOK_MS);
    work.then(resolve, reject).finally(() => clearInterval(timer));
  });

/**
 * The file as a Blob, whose handle the agent reads; else why there is none, as JSON. The page downloads and decrypts
 * it. Where it is gone, the page has asked for it, and a later call may find it.
 */
waAgent.openMedia = async (key, mostBytes) => {
  let message = null;
  try {
    message = await messageOfMedia(key);
    if (whole(() => message.size) > mostBytes) return JSON.stringify({ code: 'too_large' });
    const blob = await unlessAskedForLong(message, downloaded(message, key));
    if (!(blob instanceof Blob)) return JSON.stringify({ code: 'media_not_found', stage: stageOf(message) });
    if (blob.size > mostBytes) return JSON.stringify({ code: 'too_large' });
    // Chromium hands out text as text, and cuts it within characters; this way all is base64.
    return blob.slice(0, blob.size, 'application/octet-stream');
  } catch (error) {
    const code = text(() => error.code || error.name || 'unknown');
    return JSON.stringify({ code, stage: stageOf(message), status: whole(() => error.status) });
  }
};

/** Lets go of what the page keeps of a file, so that its memory does not grow, nor bad bytes stay. */
waAgent.releaseMedia = async (key) => {
  const message = attempt(() => WPP.whatsapp.MsgStore.get(key));
  const data = attempt(() => message.mediaData);
  if (!data) return false;
  const filehash = text(() => data.filehash);
  if (filehash) await Promise.resolve(attempt(() => WPP.whatsapp.LruMediaStore.del(filehash))).catch(() => {});
  // Were it left as resolved, the page would not download it again.
  if (data.mediaStage === 'RESOLVED') attempt(() => data.set({ mediaBlob: null, mediaStage: 'NEED_POKE' }));
  return true;
};
