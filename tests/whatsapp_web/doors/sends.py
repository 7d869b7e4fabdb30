"""Doors: what the page sends, and what becomes of it."""

from __future__ import annotations

from tests.whatsapp_web.doors.base import Doors, Json


class SendDoors(Doors):
    """The way of sends to the server, and of receipts back."""

    def outbox(self) -> list[Json]:
        """Every message the server took from the page, once each and in order.

        Each has the page's own attributes as text and numbers (`id` is the whole key, `to`, `type`, `body` ...), and
        of every kind: `chat`, `text` (or the caption), `quoted` (an id), `media` (`directPath`, `filehash`,
        `mimetype`, `size`), `reaction`, `at`, `times` (how many frames with its id the server got), `answered`. None
        where there is none.
        """
        outbox: list[Json] = self._control.call("outbox")
        return outbox

    def hold_sends(self) -> None:
        """The server takes what is sent (it is in the outbox), and the page gets no answer."""
        self._control.call("hold_sends")

    def lose_sends(self) -> None:
        """What is sent vanishes on its way; `state()["sends"]["lost"]` counts the frames."""
        self._control.call("lose_sends")

    def refuse_sends(self, code: int | None = 463, times: int | None = None) -> None:
        """The server refuses new messages with a code, the next `times` or all; None ends that.

        `state()["sends"]["refused"]` has the id and the code of each. What it took before is not refused.
        """
        self._control.call("refuse_sends", code=code, times=times)

    def answer_sends(self) -> None:
        """End `hold_sends`, `lose_sends` and `refuse_sends`; what was held is answered now."""
        self._control.call("answer_sends")

    def receipt(self, message_id: str, ack: int = 3, by: str | None = None) -> None:
        """Let a message of this account be received (2), read (3) or played (4).

        `message_id` is its id or its whole key. In a group `by` is the member who did; everybody without it. A page
        that is away gets it when it comes back.
        """
        self._control.call("receipt", message_id=message_id, ack=ack, by=by)
