"""One message on its way to the page, and what is known of that way."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]


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
    accepted_at: float = field(default_factory=time.time)
    sent_at: list[float] = field(default_factory=list)
    acked_at: float | None = None

    @property
    def key(self) -> str:
        """The message's key as WhatsApp Web serializes it."""
        parts = ["true" if self.from_me else "false", self.chat, self.id]
        return "_".join(parts + ([self.author] if self.chat.endswith("@g.us") else []))

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
            "media": self.media,
            "attributes": self.attributes,
        }

    def as_model(self) -> Frame:
        """What a test is told; times are epoch seconds."""
        return {
            "key": self.key,
            "chat": self.chat,
            "author": self.author,
            "type": self.type,
            "text": self.text if self.text is not None else self.caption,
            "media": self.media,
            "accepted_at": self.accepted_at,
            "sent_at": self.sent_at,
            "acked": self.acked_at is not None,
            "acked_at": self.acked_at,
        }
