"""Doors: what the page sends, and what becomes of it."""

from __future__ import annotations

from tests.whatsapp_web.doors.base import Doors, Json


class SendDoors(Doors):
    """The way of sends to the server, and of receipts back."""

    def receipt(self, message_id: str, ack: int = 3) -> None:
        """Let a message from the page be received (2), read (3) or played (4); `message_id` as in the outbox."""
        self._control.call("receipt", message_id=message_id, ack=ack)

    def outbox(self) -> list[Json]:
        """Every message the page sent, once each: its attributes as text and numbers, and `at`."""
        outbox: list[Json] = self._control.call("outbox")
        return outbox
