// A backend in Node, with the package `redis` (npm install redis). Run as many as you like, each under a name of its
// own that it keeps over restarts:
//   REDIS_URL=redis://localhost:6379/0 node backend.mjs backend-1
import { createClient } from "redis";

const stream = `whatsapp:${process.env.WHATSAPP_SESSION_ID ?? "shula-whatsapp"}:events`;
const group = "photos-node";
const consumer = process.argv[2];
const idleMs = process.env.CLAIM_IDLE_MS ?? "600000"; // whose event is older is dead: longer than any work on one

if (!consumer || !process.env.REDIS_URL) {
  console.error("usage: REDIS_URL=redis://... node backend.mjs NAME (the name is this process's own)");
  process.exit(1);
}

const redis = createClient({ RESP: 2, url: process.env.REDIS_URL, socket: { socketTimeout: 30_000 } });
redis.on("error", (error) => console.error("Redis:", error.message)); // it connects again by itself
await redis.connect();

// Null where Redis was away: whatever it gave us then is pending, and is read again.
async function ask(...command) {
  try {
    return await redis.sendCommand(command);
  } catch (error) {
    if (error.message.startsWith("NOGROUP")) await ask("XGROUP", "CREATE", stream, group, "0", "MKSTREAM");
    else if (!error.message.startsWith("BUSYGROUP")) {
      console.error("Redis:", error.message);
      await new Promise((resume) => setTimeout(resume, 1000));
    }
    return null;
  }
}

// As [id, [field, value]]; without the second where an entry was trimmed away before it was done with.
async function read(from) {
  const block = ["COUNT", "10", "BLOCK", "2000"];
  const answer = await ask("XREADGROUP", "GROUP", group, consumer, ...block, "STREAMS", stream, from);
  return answer?.[0][1] ?? [];
}

function handle({ type, data }) {
  if (data.from_me) return; // what this account itself has sent
  if (type === "message") console.log("message", data.key, data.chat_name, data.text);
  else if (type === "media" && data.status === "stored") console.log("photo", data.key, data.url);
  else if (type === "media") console.log("no photo", data.key, data.error);
}

const done = new Set(); // of yours it is rather a column with a unique index, written with the work itself
for (;;) {
  await ask("XAUTOCLAIM", stream, group, consumer, idleMs, "0-0", "COUNT", "100", "JUSTID"); // what the dead left
  const pending = await read("0"); // that, and our own of before
  for (const [id, fields] of pending.length ? pending : await read(">")) {
    const event = fields && JSON.parse(fields[1]);
    const once = event && `${event.type} ${event.data.key ?? id} ${event.data.status}`;
    if (event && !done.has(once)) {
      handle(event);
      done.add(once);
    }
    await ask("XACK", stream, group, id); // only now: what throws above comes again
  }
}
