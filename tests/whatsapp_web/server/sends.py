"""What pages send: kept once by its id, and the ways it does not get through."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tests.whatsapp_web.server.messages import Frame

MEDIA = ("directPath", "filehash", "mimetype", "size")


@dataclass
class Send:
    """A message that a page sent; `times` counts the frames with its id that the server got."""

    message: Frame
    at: float
    times: int = 1
    answered: bool = False

    @property
    def chat(self) -> str:
        return str(self.message["to"])

    def answer(self, message_id: str) -> Frame:
        self.answered = True
        return {"type": "ack", "id": message_id, "t": int(self.at)}

    def as_json(self) -> Frame:
        """What a test is told: the page's own attributes, and beside them what every kind of send has."""
        said = self.message
        return {
            **said,
            "chat": self.chat,
            "text": said.get("body", said.get("caption")),
            "quoted": said.get("quotedStanzaID"),
            "media": {name: said.get(name) for name in MEDIA} if "directPath" in said else None,
            "reaction": said.get("reactionText"),
            "at": self.at,
            "times": self.times,
            "answered": self.answered,
        }


class Sends:
    """Every send that was accepted, in order; and whether the next ones are lost, refused or left unanswered."""

    def __init__(self) -> None:
        self.accepted: dict[str, Send] = {}
        self.lost = 0
        # (id, code) of every send that was refused
        self.refused: list[tuple[str, int]] = []
        self.holding = False
        self.losing = False
        self._refuse_with: int | None = None
        self._refusals: int | None = 0
        self._refused_times: dict[str, int] = {}

    def receive(self, frame: Frame) -> Frame | None:
        """Take a send; the answer to it, if the page gets one."""
        message_id = frame["id"]
        if self.losing:
            self.lost += 1
            return None
        known = self.accepted.get(message_id)
        if known is None and self._refuses():
            self.refused.append((message_id, self._refuse_with or 0))
            self._refused_times[message_id] = self._refused_times.get(message_id, 0) + 1
            return {"type": "ack", "id": message_id, "t": int(time.time()), "error": self._refuse_with}
        if known is None:
            times = 1 + self._refused_times.get(message_id, 0)
            known = self.accepted[message_id] = Send(frame["message"], time.time(), times)
        else:
            known.times += 1
        return None if self.holding else known.answer(message_id)

    def refuse(self, code: int | None, times: int | None) -> None:
        """Refuse the next `times` new messages (all of them when None); a code of None ends that."""
        self._refuse_with, self._refusals = code, times if code is not None else 0

    def release(self) -> list[Frame]:
        """Nothing goes wrong any more; the answers that were held back."""
        self.holding = self.losing = False
        self.refuse(None, 0)
        return [send.answer(message_id) for message_id, send in self.accepted.items() if not send.answered]

    def _refuses(self) -> bool:
        if self._refuse_with is None or self._refusals == 0:
            return False
        if self._refusals is not None:
            self._refusals -= 1
        return True

    def find(self, message_id: str) -> Send | None:
        """A send by its id or by its whole key."""
        _, _, inner = message_id.partition("@")
        return self.accepted.get(message_id) or self.accepted.get(inner.split("_")[1] if "_" in inner else "")

    def as_state(self) -> dict[str, Any]:
        return {"holding": self.holding, "losing": self.losing, "lost": self.lost, "refused": self.refused}
