"""Doors: people, and what they write."""

from __future__ import annotations

from collections.abc import Sequence

from tests.whatsapp_web.composing import compose_attributes, compose_message
from tests.whatsapp_web.doors.base import Json
from tests.whatsapp_web.doors.media import MediaDoors
from tests.whatsapp_web.people import FAMILY


class MessageDoors(MediaDoors):
    """People write; everybody else is told by the server."""

    def deliver_text(
        self,
        text: str,
        chat: str = FAMILY.id,
        author: str | None = None,
        *,
        from_me: bool = False,
        written_at: int | None = None,
        quote: str | None = None,
        forwarded: bool = False,
        ephemeral_s: int | None = None,
        type: str = "chat",
        attributes: Json | None = None,
        to_device: bool = True,
    ) -> str:
        """Have somebody write; returns the message's key.

        The author is Anna unless given (or the other side of a one-to-one chat); `quote` is the key of the message
        this one answers; `attributes` are further ones of the page's message model. Without `to_device` the phone
        has it, and no page unless that asks for earlier messages.
        """
        message = compose_message(
            text=text, chat=chat, author=author, from_me=from_me, written_at=written_at, type=type,
            attributes=compose_attributes(attributes, quote, forwarded, ephemeral_s), to_device=to_device,
        )  # fmt: skip
        return self._deliver([message])[0]

    def deliver_photo(
        self,
        data: bytes,
        mimetype: str = "image/jpeg",
        caption: str | None = None,
        chat: str = FAMILY.id,
        author: str | None = None,
        *,
        filename: str = "",
        width: int | None = None,
        height: int | None = None,
        from_me: bool = False,
        written_at: int | None = None,
        type: str = "image",
        attributes: Json | None = None,
        to_device: bool = True,
    ) -> str:
        """Have somebody send a photo (or, with `type`, another kind of file); returns the message's key."""
        message = compose_message(
            caption=caption, chat=chat, author=author, from_me=from_me, written_at=written_at, type=type,
            media={**self.upload(data, mimetype, filename), "width": width, "height": height},
            attributes=attributes, to_device=to_device,
        )  # fmt: skip
        return self._deliver([message])[0]

    def deliver_many(
        self,
        count: int,
        text: str = "Message {number}",
        chats: Sequence[str] = (FAMILY.id,),
        author: str | None = None,
        media: Json | None = None,
        *,
        to_device: bool = True,
    ) -> list[str]:
        """A burst, all sent at once and to each chat in turn; returns the keys in order.

        `media` (from `upload`) makes every one of them a photo; `to_device` as for a text.
        """
        kind: Json = {"type": "image", "media": media} if media else {}
        kind["to_device"] = to_device
        return self._deliver(
            [
                compose_message(text=text.format(number=n), chat=chats[n % len(chats)], author=author, **kind)
                for n in range(count)
            ]
        )

    def _deliver(self, messages: list[Json]) -> list[str]:
        keys: list[str] = self._control.call("deliver", messages=messages)
        return keys

    def model(self) -> list[Json]:
        """Every message accepted for delivery: `key`, `chat`, `author`, `type`, `text`, `media` (with `directPath`,
        `filehash`, `size`), `t`, `attributes`, `from_me`, `to_device`, `accepted_at`, `sent_at` (each time it was sent
        to a page), `acked`, `acked_at`; times are epoch seconds."""
        model: list[Json] = self._control.call("model")
        return model
