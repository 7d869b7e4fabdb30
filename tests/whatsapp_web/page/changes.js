/* What is done to a message after it was written: edited, taken back. Where it is kept, too, loaded or not. */
(function () {
  'use strict';
  const { define } = self.StandIn;

  define('StandInChanges', (exports, require) => {
    const { MsgCollection } = require('WAWebMsgCollection');
    const MsgKey = require('WAWebMsgKey');
    const { createWid } = require('WAWebWidFactory');
    const keeping = require('StandInKeeping');

    const withAttributes = (frame, attributes) => ({ ...frame, attributes: { ...frame.attributes, ...attributes } });

    exports.edited = ({ key, message, text, edit_key: editKey, t_ms: at }) => {
      const model = MsgCollection.get(message);
      const field = (one) => (one.media || one.mediaData ? 'caption' : 'body');
      if (model) {
        model.set({
          [field(model)]: text, latestEditMsgKey: MsgKey.fromString(editKey), latestEditSenderTimestampMs: at,
        });
      }
      keeping.change(message, (kept) => withAttributes(
        { ...kept, [field(kept)]: text }, { latestEditMsgKey: editKey, latestEditSenderTimestampMs: at },
      ));
      keeping.acknowledge(key);
    };

    /** Arrives as a message of its own, which is not shown. */
    exports.revoked = ({ key, id, message, chat, author, by_admin: byAdmin, t }) => {
      const target = MsgKey.fromString(message);
      const remote = createWid(chat);
      const by = createWid(author);
      const me = createWid(require('StandInCredentials').me.phone);
      const own = require('WAWebUserPrefsMeUser').isMeAccount(by);
      const known = MsgCollection.get(message);
      MsgCollection.processMultipleMessages(remote, [{
        id: new MsgKey({ fromMe: own, remote, id, participant: remote.isGroup() ? by : undefined }),
        type: 'protocol', subtype: byAdmin ? 'admin_revoke' : 'sender_revoke', protocolMessageKey: target,
        from: own ? me : remote, to: own ? remote : me, author: remote.isGroup() ? by : undefined, t,
        isNewMsg: !known || known.type !== 'revoked',
      }]);
      keeping.acknowledge(key);
    };

    /** What processMultipleMessages does with such a message. */
    exports.revoke = ({ protocolMessageKey, subtype, author, from, t }) => {
      const key = String(protocolMessageKey);
      const told = { subtype: subtype === 'admin_revoke' ? 'admin' : 'sender', revokeTimestamp: t };
      const sender = author || from;
      const model = MsgCollection.get(key);
      const nothing = { body: undefined, caption: undefined, mediaData: undefined, directPath: undefined,
        mediaKey: undefined, filehash: undefined };
      if (model) model.set({ ...nothing, ...told, revokeSender: sender, type: 'revoked' });
      keeping.change(key, (kept) => withAttributes(
        { ...kept, type: 'revoked', body: undefined, caption: undefined, media: null },
        { ...told, revokeSender: String(sender) },
      ));
    };
  });
})();
