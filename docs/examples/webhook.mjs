// A receiver of webhooks in Node, with nothing but what is in it:
//   WEBHOOK_SECRET=... node webhook.mjs 8080
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

// Whether it is ours, whole, and of the last five minutes. `body` is what came, before anything reads it.
function isGenuine(headers, body, secret) {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
  const sentAt = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(sentAt) || Math.abs(Date.now() / 1000 - sentAt) > 300) return false;
  const ours = createHmac("sha256", key).update(`${headers["webhook-id"]}.${sentAt}.`).update(body).digest();
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const theirs = Buffer.from(one.startsWith("v1,") ? one.slice(3) : "", "base64");
    return theirs.length === ours.length && timingSafeEqual(theirs, ours);
  });
}

const done = new Set(); // of yours it is rather a column with a unique index, written with the work itself

createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  if (!isGenuine(request.headers, body, process.env.WEBHOOK_SECRET)) return response.writeHead(401).end();
  const id = request.headers["webhook-id"];
  if (!done.has(id)) { // what was answered too late comes again
    const event = JSON.parse(body);
    console.log(event.type, event.data.key ?? "");
    done.add(id);
  }
  response.writeHead(204).end(); // only now: what fails above comes again
}).listen(Number(process.argv[2]));
