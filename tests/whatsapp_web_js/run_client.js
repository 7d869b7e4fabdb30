'use strict';
/*
 * whatsapp-web.js against the stand-in. Says what happens as JSON lines on stdout, [event, ...details]; takes
 * commands as JSON lines on stdin, [method, ...arguments], and answers each with ["answer", result] or ["error", why].
 * With a place in S3 as its last argument, {endpoint, bucket, remotePath, clientId}, it keeps its session there.
 */
const readline = require('node:readline');

const [url, executablePath, dataPath, s3] = process.argv.slice(2);

// The client opens a fixed address; the constant is the one place to have it open ours.
require('whatsapp-web.js/src/util/Constants').WhatsWebURL = url;
const { Client, LocalAuth, RemoteAuth } = require('whatsapp-web.js');

const say = (...what) => process.stdout.write(`${JSON.stringify(what)}\n`);

function remoteAuth({ endpoint, bucket, remotePath, clientId }) {
  const aws = require('@aws-sdk/client-s3');
  const { AwsS3Store } = require('wwebjs-aws-s3');
  // The client writes the zip into its data path, the store reads it from the working directory.
  process.chdir(dataPath);
  const store = new AwsS3Store({
    bucketName: bucket,
    remoteDataPath: remotePath,
    s3Client: new aws.S3Client({ endpoint, forcePathStyle: true, region: 'us-east-1' }),
    putObjectCommand: aws.PutObjectCommand,
    headObjectCommand: aws.HeadObjectCommand,
    getObjectCommand: aws.GetObjectCommand,
    deleteObjectCommand: aws.DeleteObjectCommand,
  });
  return new RemoteAuth({ clientId, dataPath, store, backupSyncIntervalMs: 60_000 });
}

const client = new Client({
  authStrategy: s3 ? remoteAuth(JSON.parse(s3)) : new LocalAuth({ dataPath }),
  webVersionCache: { type: 'none' },
  puppeteer: {
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup', // pages of Chromium's own
    ],
  },
});

for (const event of ['qr', 'authenticated', 'ready', 'change_state', 'disconnected']) {
  client.on(event, (detail) => say(event, detail));
}
client.on('message', async (message) => {
  const media = message.hasMedia ? await message.downloadMedia() : null;
  say('message', {
    key: message.id._serialized,
    chat: message.from,
    author: message.author,
    text: message.body,
    media: media && media.data,
  });
});

const methods = {
  getState: () => client.getState(),
  resetState: () => client.resetState(),
  getChats: async () => (await client.getChats()).map((chat) => [chat.id._serialized, chat.name, chat.isGroup]),
  sendMessage: async (chat, text) => (await client.sendMessage(chat, text)).id._serialized,
  logout: () => client.logout(),
  // What its timer does, the first time a minute after it is ready.
  backUp: () => client.authStrategy.storeRemoteSession(),
};

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const [method, ...args] = JSON.parse(line);
  try {
    say('answer', (await methods[method](...args)) ?? null);
  } catch (error) {
    say('error', String(error && error.stack));
  }
}).on('close', async () => {
  await client.destroy();
  process.exit(0);
});

client.initialize().catch((error) => say('error', String(error && error.stack)));
