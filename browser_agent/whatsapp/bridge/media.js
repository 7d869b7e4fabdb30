/* Files of messages: fetched by the page, handed out as a Blob, let go afterwards. */

const EARLIER_LOADS_AT_MOST = 3;
const EARLIER_PATIENCE_MS = 10000; // for each: without a link it would never come
const REUPLOAD_PATIENCE_MS = 5000;
const STAGE_LOOK_MS = 250;

const orNullAfter = (ms, work) => {
  let timer = null;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms, null);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

// After a reload the page has loaded some of its messages: wa-js looks for others on the page's disk. What is not
// there either may be among the earlier ones, which the phone is asked for.
const messageOfMedia = async (key) => {
  for (let loads = 0; ; loads += 1) {
    try {
      return await WPP.chat.getMessageById(key);
    } catch (error) {
      if (error?.code !== 'msg_not_found' || loads === EARLIER_LOADS_AT_MOST) throw error;
      const chat = WPP.whatsapp.ChatStore.get(key.split('_')[1]);
      const loaded = chat ? await orNullAfter(EARLIER_PATIENCE_MS, loadEarlier(chat)) : null;
      if (!loaded?.length) throw error;
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

// The sender's phone may be off for hours: the page waits for it by itself, and a later call finds what came. Nor is
// any other work waited for longer than the agent waits: nobody would let go of its Blob.
const unlessLong = (message, work, deadline) => {
  let timer = null;
  const long = new Promise((_, reject) => {
    let since = null;
    const look = () => {
      since = stageOf(message) === 'REUPLOADING' ? (since ?? Date.now()) : null;
      if (since !== null && Date.now() - since > REUPLOAD_PATIENCE_MS) reject({ code: 'reuploading' });
      if (Date.now() > deadline) reject({ code: 'too_slow' });
    };
    timer = setInterval(look, STAGE_LOOK_MS);
  });
  return Promise.race([work, long]).finally(() => clearInterval(timer));
};

/**
 * The file as a Blob, whose handle the agent reads; else why there is none, as JSON. The page downloads and decrypts
 * it, until the deadline (epoch milliseconds). Where it is gone, the page has asked for it, and a later call may find
 * it.
 */
waAgent.openMedia = async (key, mostBytes, deadline) => {
  let message = null;
  try {
    message = await messageOfMedia(key);
    if (whole(() => message.size) > mostBytes) return JSON.stringify({ code: 'too_large' });
    const blob = await unlessLong(message, downloaded(message, key), deadline);
    if (Date.now() > deadline) return JSON.stringify({ code: 'too_slow' });
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
