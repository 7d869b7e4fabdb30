"""A message as the page tells it, as the contract has it. Pure."""

import base64
import re
from datetime import UTC, datetime

from whatsapp_contract.events import ContactCard, Location, MediaRef, MembersChange, MessageData, Person, Poll

from .whatsapp.models import PageCard, PageMedia, PageMessage, PageWid

# WhatsApp's words that the contract has others for; every other word stays as it is.
_TYPES = {
    "chat": "text",
    "ptt": "voice",
    "ptv": "video",
    "gif": "video",
    "vcard": "contact",
    "multi_vcard": "contact",
    "poll_creation": "poll",
}
_JOINS = frozenset({"add", "invite", "invite_auto_add", "linked_group_join", "v4_add_invite_join", "accept"})
_LEAVES = frozenset({"leave", "remove"})
_MEMBERS = "gp2"

# 2009, the year of WhatsApp, to 2100: the same numbers as milliseconds lie in 1970.
_EARLIEST_S, _LATEST_S = 1_230_768_000, 4_102_444_800
_PHONE_IN_VCARD = re.compile(r"^(?:item\d+\.)?TEL[^:\r\n]*:([^\r\n]+)", re.MULTILINE | re.IGNORECASE)


def message_data(message: PageMessage, source: str) -> MessageData:
    """`source` is `live` or `backfill`."""
    return MessageData.model_validate(
        {
            "key": message.key,
            "chat_id": message.chat_id,
            "chat_name": message.chat_name,
            "is_group": message.is_group,
            "author": person(message.author),
            "from_me": message.from_me,
            "type": _type_of(message),
            "raw_type": message.type,
            "text": message.text,
            "sent_at": sent_at(message),
            "quoted_key": message.quoted_key,
            "target_key": message.target_key,
            "album_key": message.album_key,
            "mentions": [person(wid) for wid in message.mentions],
            "forwarded": message.forwarded,
            "ephemeral": message.ephemeral,
            "view_once": message.view_once,
            "source": source,
            "media": _media_ref(message.media, message.view_once),
            "location": _location(message),
            "contacts": [_card(card) for card in message.contacts],
            "poll": _poll(message),
            "members": _members(message),
        }
    )


def person(wid: PageWid | None) -> Person:
    """`lid` as WhatsApp writes it (`...@lid`); `phone` as digits with the country code, without `+`."""
    if wid is None:
        return Person(lid=None, phone=None)
    return Person(lid=wid.lid, phone=wid.phone.split("@")[0].split(":")[0] if wid.phone else None)


def sent_at(message: PageMessage) -> datetime:
    """Epoch seconds, or milliseconds, as a time; what cannot be a message's time is now."""
    t = message.t
    for seconds in (t, t // 1000) if t is not None else ():
        if _EARLIEST_S < seconds < _LATEST_S:
            return datetime.fromtimestamp(seconds, UTC)
    return datetime.now(UTC)


def sha256_hex(filehash: str | None) -> str | None:
    """WhatsApp gives base64; the contract has hex."""
    try:
        return base64.b64decode(filehash, validate=True).hex() if filehash else None
    except ValueError:  # binascii.Error is one
        return None


def _type_of(message: PageMessage) -> str:
    if message.type == _MEMBERS and message.subtype in _JOINS:
        return "join"
    if message.type == _MEMBERS and message.subtype in _LEAVES:
        return "leave"
    return _TYPES.get(message.type, message.type)


def _media_ref(media: PageMedia | None, view_once: bool) -> MediaRef | None:
    if media is None:
        return None
    return MediaRef(
        status="skipped" if view_once else "pending",
        mimetype=media.mimetype,
        size=media.size,
        sha256=sha256_hex(media.filehash),
        filename=media.filename,
        width=media.width,
        height=media.height,
    )


def _location(message: PageMessage) -> Location | None:
    where = message.location
    return Location(latitude=where.latitude, longitude=where.longitude, name=where.name) if where else None


def _card(card: PageCard) -> ContactCard:
    return ContactCard(name=card.name, phones=[phone.strip() for phone in _PHONE_IN_VCARD.findall(card.vcard or "")])


def _poll(message: PageMessage) -> Poll | None:
    poll = message.poll
    return Poll(question=poll.question, options=poll.options, selectable=poll.selectable or 0) if poll else None


def _members(message: PageMessage) -> MembersChange | None:
    if message.type != _MEMBERS:
        return None
    return MembersChange(change=message.subtype or "unknown", people=[person(wid) for wid in message.members])
