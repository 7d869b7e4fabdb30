"""Calls of the control API: what people do to messages that are there."""

from __future__ import annotations

import secrets
import time

from tests.whatsapp_web.server.control_sends import SendCalls
from tests.whatsapp_web.server.messages import Message

TRUE = "true"


class ChangeCalls(SendCalls):
    """Reactions, edits and revocations: kept with the message, and told to every device."""

    def react(self, key: str, emoji: str, author: str | None) -> str:
        own, chat = self._parts(key)
        author = self._author(key, author, answers=own)
        reaction = self._new_key(chat, author)
        t = int(time.time())
        self._site.tell({"type": "reaction", "id": reaction, "parent": key, "author": author, "text": emoji, "t": t})
        message = self._message(key)
        if message is not None:
            message.reactions.pop(author, None)
            if emoji:
                message.reactions[author] = {"id": reaction, "text": emoji, "t": t}
        return reaction

    def edit(self, key: str, text: str) -> str:
        _, chat = self._parts(key)
        edit = self._new_key(chat, self._author(key, None))
        told = {"latestEditMsgKey": edit, "latestEditSenderTimestampMs": int(time.time() * 1000)}
        at = told["latestEditSenderTimestampMs"]
        self._site.tell({"type": "edit", "message": key, "text": text, "edit_key": edit, "t_ms": at})
        message = self._message(key)
        if message is not None:
            message.change({"caption" if message.media else "body": text}, told)
        return edit

    def revoke(self, key: str, author: str | None) -> None:
        _, chat = self._parts(key)
        writer = self._author(key, None)
        by = self._author(key, author)
        by_admin = self._site.account.person(by) != self._site.account.person(writer)
        t = int(time.time())
        frame = {"type": "revoke", "id": _new_id(), "message": key, "chat": chat, "author": by, "t": t}
        self._site.tell({**frame, "by_admin": by_admin})
        message = self._message(key)
        if message is not None:
            told = {"subtype": "admin" if by_admin else "sender", "revokeTimestamp": t, "revokeSender": by}
            message.change({"type": "revoked", "body": None, "caption": None, "media": None}, told)

    # --- keys

    def _parts(self, key: str) -> tuple[bool, str]:
        own, chat, *_ = key.split("_")
        return own == TRUE, chat

    def _author(self, key: str, given: str | None, *, answers: bool = False) -> str:
        """Who does it: the one given as the chat addresses people, or whoever wrote the message (or answers it)."""
        own, chat = self._parts(key)
        if given is not None:
            return self._site.address_in(chat, given)
        if own and not answers:
            return self._site.address_in(chat, self._site.account.me.phone)
        writers = key.split("_")[3:]
        return writers[0] if writers and not own else self._site.usual_author(chat)

    def _new_key(self, chat: str, author: str) -> str:
        me = self._site.account.me
        own = "true" if author in (me.phone, me.lid) else "false"
        return "_".join([own, chat, _new_id(), *([author] if chat.endswith("@g.us") else [])])

    def _message(self, key: str) -> Message | None:
        return self._site.account.messages.get(key)


def _new_id() -> str:
    return "AC" + secrets.token_hex(15).upper()
