"""Doors: messages of other kinds than texts and files, as the page's message model names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.whatsapp_web.composing import compose_message
from tests.whatsapp_web.doors.messages import MessageDoors
from tests.whatsapp_web.people import FAMILY


class KindDoors(MessageDoors):
    """What people send besides. `attributes` and the other arguments that go on are those of `deliver_text`."""

    def deliver_location(
        self,
        latitude: float,
        longitude: float,
        name: str | None = None,
        comment: str | None = None,
        chat: str = FAMILY.id,
        author: str | None = None,
        **given: Any,
    ) -> str:
        """A place: type `location` with `lat`, `lng`, `loc` and `comment`; returns the message's key."""
        place = {"lat": latitude, "lng": longitude, "loc": name, "comment": comment}
        return self._special("location", place, chat, author, given)

    def deliver_contact(
        self, cards: Sequence[tuple[str, str]], chat: str = FAMILY.id, author: str | None = None, **given: Any
    ) -> str:
        """Contacts, each (name, vCard text): type `vcard` with the text as body, or `multi_vcard` with `vcardList`."""
        name, text = cards[0]
        if len(cards) == 1:
            return self._special("vcard", {"vcardFormattedName": name}, chat, author, {"text": text, **given})
        card_list = [{"displayName": name, "vcard": text} for name, text in cards]
        return self._special("multi_vcard", {"vcardList": card_list}, chat, author, given)

    def deliver_poll(
        self,
        name: str,
        options: Sequence[str],
        chat: str = FAMILY.id,
        author: str | None = None,
        *,
        selectable: int = 0,
        **given: Any,
    ) -> str:
        """A poll: `poll_creation` with `pollName`, `pollOptions` and how many may be chosen (0: any)."""
        poll = {
            "pollName": name,
            "pollOptions": [{"name": option, "localId": number} for number, option in enumerate(options)],
            "pollSelectableOptionsCount": selectable,
        }
        return self._special("poll_creation", poll, chat, author, given)

    def deliver_album(
        self, photos: Sequence[bytes], mimetype: str = "image/jpeg", chat: str = FAMILY.id, author: str | None = None
    ) -> list[str]:
        """Several photos as one: returns the keys of the `album` and of the photos, each with its `parentMsgKey`."""
        parent = self._special("album", {"expectedImageCount": len(photos)}, chat, author, {})
        related = {"parentMsgKey": parent, "associationType": "MEDIA_ALBUM"}
        return [
            parent,
            *(self.deliver_photo(data, mimetype, chat=chat, author=author, attributes=related) for data in photos),
        ]

    def _special(self, type: str, own: dict[str, Any], chat: str, author: str | None, given: dict[str, Any]) -> str:
        own = {name: value for name, value in own.items() if value is not None}
        attributes = {**own, **given.pop("attributes", {})}
        message = compose_message(type=type, chat=chat, author=author, attributes=attributes, **given)
        return self._deliver([message])[0]
