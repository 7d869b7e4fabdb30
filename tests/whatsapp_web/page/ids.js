/* Addresses (Wid) and message keys (MsgKey). */
(function () {
  'use strict';
  const { define, options } = self.StandIn;
  const USER_SERVERS = ['c.us', 'lid', 'bot', 'hosted', 'hosted.lid'];

  class Wid {
    constructor(text) {
      const [user, server] = String(text).split('@');
      const [name, device] = user.split(':');
      this.server = server;
      this.user = name;
      if (device !== undefined) this.device = Number(device);
      this._serialized = text;
    }
    toString() { return this._serialized; }
    toJSON() { return this._serialized; }
    toLogString() { return this._serialized; }
    toJid() { return this._serialized.replace('@c.us', '@s.whatsapp.net'); }
    equals(other) { return Boolean(other) && String(other) === this._serialized; }
    isSameAccount(other) { return Boolean(other) && other.user === this.user; }
    isGroup() { return this.server === 'g.us'; }
    isUser() { return USER_SERVERS.includes(this.server); }
    isRegularUser() { return this.isUser(); }
    isLid() { return this.server === 'lid'; }
    isBot() { return this.server === 'bot'; }
    isBroadcast() { return this.server === 'broadcast'; }
    isStatus() { return this._serialized === 'status@broadcast'; }
    isStatusV3() { return this.isStatus(); }
    isNewsletter() { return this.server === 'newsletter'; }
    isPSA() { return this._serialized === '0@c.us'; }
    isServer() { return this._serialized === 'server@c.us'; }
    isGroupCall() { return this.server === 'call'; }
    isCompanion() { return this.device > 0; }
    getDeviceId() { return this.device || 0; }

    static isXWid(server, wid) { return String(wid).endsWith(`@${server}`); }
    static isWid(wid) { return String(wid).includes('@'); }
    static isGroup(wid) { return Wid.isXWid('g.us', wid); }
    static isUser(wid) { return new Wid(String(wid)).isUser(); }
    static isLid(wid) { return Wid.isXWid('lid', wid); }
    static isStatus(wid) { return String(wid) === 'status@broadcast'; }
    static isStatusV3(wid) { return Wid.isStatus(wid); }
    static isBroadcast(wid) { return Wid.isXWid('broadcast', wid); }
    static isNewsletter(wid) { return Wid.isXWid('newsletter', wid); }
    static equals(one, other) { return String(one) === String(other); }
  }

  const known = new Map();

  function createWid(given) {
    if (given instanceof Wid) return given;
    const text = given && typeof given === 'object' ? given._serialized : given;
    if (!known.has(text)) {
      if (typeof text !== 'string' || !/^[^@]+@[a-z.]+$/.test(text)) throw new Error('wid error: invalid wid');
      known.set(text, new Wid(text.replace('@s.whatsapp.net', '@c.us')));
    }
    return known.get(text);
  }

  const createUserWid = (user, server) => createWid(user.includes('@') ? user : `${user}@${server || 'c.us'}`);
  const withoutDevice = (wid) => createWid(`${wid.user}@${wid.server}`);
  const same = (wid) => wid;

  function keyParts(given) {
    const incoming = given.selfDir === 'in';
    return {
      fromMe: given.fromMe !== undefined ? Boolean(given.fromMe) : given.selfDir === 'out',
      remote: createWid(given.remote !== undefined ? given.remote : incoming ? given.from : given.to),
      id: given.id,
      participant: given.participant ? createWid(given.participant) : undefined,
    };
  }

  function serialize({ fromMe, remote, id, participant }) {
    return [fromMe, remote, id].concat(participant ? [participant] : []).join('_');
  }

  function parse(text) {
    const [fromMe, remote, id, participant] = text.split('_');
    return { fromMe: fromMe === 'true', remote, id, participant };
  }

  function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(9));
    return `3EB0${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('').toUpperCase()}`;
  }

  class PlainMsgKey {
    constructor(given) {
      // wa-js knows the class by this sentence.
      if (!given) throw new Error('MsgKey error: obj is null/undefined');
      const parts = keyParts(given);
      this.fromMe = parts.fromMe;
      this.remote = parts.remote;
      this.id = parts.id;
      if (parts.participant) this.participant = parts.participant;
      if (given.selfDir) this.self = given.selfDir;
      this._serialized = serialize(parts);
    }
    toString() { return this._serialized; }
    clone() { return new MsgKey(this); }
    equals(other) { return Boolean(other) && String(other) === this.toString(); }
    static fromString(text) { return new MsgKey(parse(text)); }
    static from(key) { return key instanceof MsgKey ? key : MsgKey.fromString(String(key)); }
    static async newId() { return newId(); }
  }

  // Newer builds minify the field that holds the text. wa-js renames it at the first sight of each key.
  class MinifiedMsgKey {
    constructor(given) {
      if (!given) throw new Error('MsgKey error: obj is null/undefined');
      const parts = keyParts(given);
      this.fromMe = parts.fromMe;
      this.remote = parts.remote;
      this.id = parts.id;
      if (parts.participant) this.participant = parts.participant;
      this.$1 = serialize(parts);
    }
    toString() { return this.$1; }
    clone() { return new MsgKey(this); }
    equals(other) { return Boolean(other) && String(other) === this.toString(); }
    static fromString(text) { return new MsgKey(parse(text)); }
    static from(key) { return key instanceof MsgKey ? key : MsgKey.fromString(String(key)); }
    static async newId() { return newId(); }
  }

  const MsgKey = options.minified_keys ? MinifiedMsgKey : PlainMsgKey;

  define('WAWebWid', (exports) => {
    exports.default = Wid;
  });
  define('WAWebWidFactory', (exports) => Object.assign(exports, {
    createWid,
    createWidFromWidLike: createWid,
    createUserWid,
    createUserWidOrThrow: createUserWid,
    isWidlike: (wid) => wid instanceof Wid,
    asUserWidOrThrow: withoutDevice,
    toUserWidOrThrow: withoutDevice,
    asChatWid: same,
    toChatWid: same,
  }));
  define('WAWebMsgKey', (exports) => {
    exports.default = MsgKey;
  });
})();
