"""Messages in: what the page tells of a message, as the contract has it. Each key once in this agent's life."""

import base64
import binascii
from collections import OrderedDict
from datetime import UTC, datetime

from whatsapp_contract.events import EventType, MediaRef, MessageData, Person

from .event_log import EventLog
from .whatsapp.models import PageMedia, PageMessage, PageWid

KEYS_REMEMBERED = 20_000
_IGNORED_CHATS = ("status@broadcast",)
# 2009, the year of WhatsApp, to 2100: the same numbers as milliseconds lie in 1970.
_EARLIEST_S, _LATEST_S = 1_230_768_000, 4_102_444_800


class Inbox:
    """Turns messages into events. After a restart of the agent a message may come again: `key` tells."""

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._seen: OrderedDict[str, None] = OrderedDict()

    def take(self, message: PageMessage) -> None:
        """Publish a message unless its key was seen."""
        if message.chat_id in _IGNORED_CHATS or message.key in self._seen:
            return
        sent_at = _sent_at(message.t)
        self._event_log.publish(EventType.MESSAGE, _message_data(message, sent_at), occurred_at=sent_at)
        self._seen[message.key] = None
        if len(self._seen) > KEYS_REMEMBERED:
            self._seen.popitem(last=False)


def person(wid: PageWid | None) -> Person:
    """`lid` as WhatsApp writes it (`...@lid`); `phone` as digits with the country code, without `+`."""
    if wid is None:
        return Person(lid=None, phone=None)
    return Person(lid=wid.lid, phone=wid.phone.split("@")[0].split(":")[0] if wid.phone else None)


def _sent_at(t: int | None) -> datetime:
    """Epoch seconds, or milliseconds, as a time; what cannot be a message's time is now."""
    for seconds in (t, t // 1000) if t is not None else ():
        if _EARLIEST_S < seconds < _LATEST_S:
            return datetime.fromtimestamp(seconds, UTC)
    return datetime.now(UTC)


def _message_data(message: PageMessage, sent_at: datetime) -> MessageData:
    return MessageData(
        key=message.key,
        chat_id=message.chat_id,
        chat_name=message.chat_name,
        is_group=message.is_group,
        author=person(message.author),
        from_me=message.from_me,
        type="text" if message.type == "chat" else message.type,
        text=message.text,
        sent_at=sent_at,
        quoted_key=message.quoted_key,
        forwarded=message.forwarded,
        ephemeral=message.ephemeral,
        source="live",
        media=_media_ref(message.media),
    )


def _media_ref(media: PageMedia | None) -> MediaRef | None:
    if media is None:
        return None
    return MediaRef(
        status="pending",
        mimetype=media.mimetype,
        size=media.size,
        sha256=_hex(media.filehash),
        filename=media.filename,
        width=media.width,
        height=media.height,
    )


def _hex(filehash: str | None) -> str | None:
    """WhatsApp gives base64; the contract has hex."""
    try:
        return base64.b64decode(filehash, validate=True).hex() if filehash else None
    except binascii.Error:
        return None
