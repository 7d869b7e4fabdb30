"""One message on its way to the page, and what is known of that way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]


def _rising_microseconds() -> Iterator[int]:
    """Where a message stands among those of its second; of now, so that the page can number its own, too."""
    latest = 0
    while True:
        latest = max(latest + 1, time.time_ns() // 1000)
        yield latest


_orders = _rising_microseconds()


@dataclass
class Notice:
    """Something else that a page has to learn of, and acknowledges by its key: a receipt, a change of a message."""

    frame: Frame
    key: str = field(default_factory=lambda: "N" + secrets.token_hex(10).upper())
    sent_at: list[float] = field(default_factory=list)
    acked_at: float | None = None

    def as_frame(self) -> Frame:
        return {**self.frame, "key": self.key}


@dataclass
class Message:
    """A message the server accepted for delivery.

    `author` is the address that the group shows (phone or lid); in a one-to-one chat it is the other side.
    """

    chat: str
    author: str
    author_name: str
    text: str | None = None
    caption: str | None = None
    type: str = "chat"
    from_me: bool = False
    written_at: int = field(default_factory=lambda: int(time.time()))
    media: Frame | None = None
    # further attributes of the page's message model, by the site's own names
    attributes: Frame = field(default_factory=dict)
    # phones of this kind mint ids like this
    id: str = field(default_factory=lambda: "AC" + secrets.token_hex(15).upper())
    order: int = field(default_factory=lambda: next(_orders))
    # False: the phone has it, and a linked device only if it asks for earlier messages
    to_device: bool = True
    # What was done to it since: in its frame, and who reacted how. A device that is owed it learns of that by itself.
    changes: Frame = field(default_factory=dict)
    reactions: dict[str, Frame] = field(default_factory=dict)
    accepted_at: float = field(default_factory=time.time)
    sent_at: list[float] = field(default_factory=list)
    acked_at: float | None = None

    @property
    def shows_author(self) -> bool:
        """Whether its chat has several writers."""
        return self.chat.endswith("@g.us") or self.chat == "status@broadcast"

    @property
    def key(self) -> str:
        """The message's key as WhatsApp Web serializes it."""
        parts = ["true" if self.from_me else "false", self.chat, self.id]
        return "_".join(parts + ([self.author] if self.shows_author else []))

    def as_frame(self) -> Frame:
        """What the page is told."""
        return {
            "id": self.id,
            "chat": self.chat,
            "author": self.author,
            "notifyName": self.author_name,
            "fromMe": self.from_me,
            "type": self.type,
            "body": self.text,
            "caption": self.caption,
            "t": self.written_at,
            "order": self.order,
            "media": self.media,
            "attributes": self.attributes,
        }

    def change(self, frame: Frame, attributes: Frame) -> None:
        """Somebody edited it or took it back."""
        known = self.changes.get("attributes", self.attributes)
        self.changes = {**self.changes, **frame, "attributes": {**known, **attributes}}

    def as_history(self) -> Frame:
        """What a page is told that learns of it only now."""
        return {**self.as_frame(), **self.changes, "reactions": self.reactions}

    def as_model(self) -> Frame:
        """What a test is told; times are epoch seconds."""
        return {
            "key": self.key,
            "chat": self.chat,
            "author": self.author,
            "type": self.type,
            "text": self.text if self.text is not None else self.caption,
            "media": self.media,
            "t": self.written_at,
            "attributes": self.attributes,
            "from_me": self.from_me,
            "to_device": self.to_device,
            "changes": self.changes,
            "reactions": self.reactions,
            "accepted_at": self.accepted_at,
            "sent_at": self.sent_at,
            "acked": self.acked_at is not None,
            "acked_at": self.acked_at,
        }
