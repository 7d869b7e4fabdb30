"""Codes for a phone number: what the server gives to a page, and what the phone's owner may type in."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from tests.whatsapp_web.server.messages import Frame

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
LENGTH = 8


@dataclass(frozen=True)
class LinkCode:
    """`phone` is whom it was made for, in digits; `made_at` is time.monotonic()."""

    code: str
    phone: str
    made_at: float

    @classmethod
    def make(cls, phone: str) -> LinkCode:
        return cls("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)), phone, time.monotonic())

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.made_at

    def is_for(self, address: str) -> bool:
        return address.partition("@")[0] == self.phone


class LinkCodes:
    """How the server answers whoever asks for a code: it gives one, or the error that the tests have set."""

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.after_s = 0.0
        self.asked: list[Frame] = []
