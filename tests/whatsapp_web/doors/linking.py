"""Doors: codes to link with, the QR's and a phone number's."""

from __future__ import annotations

from tests.whatsapp_web.doors.base import Doors, Json


class LinkingDoors(Doors):
    """What the phone's owner does with a code, and what the server makes of whoever asks for one."""

    def code_on_show(self, timeout_s: float = 30.0) -> str:
        """The complete five-part code that the page shows, awaited."""
        code: str = self._control.call("code_on_show", timeout_s=timeout_s)
        return code

    def scan(self, payload: str | None = None, timeout_s: float = 30.0) -> int:
        """Scan the QR code; returns the number of the linked device once the page has kept its keys.

        With a payload, that is what the phone sees: anything but the complete code that is on show now raises
        PhoneRefused. Without, the phone looks at what is on show.
        """
        device: int = self._control.call("scan", payload=payload, timeout_s=timeout_s)
        return device

    def rotate_qr(self) -> None:
        """Show the next code now, as if the time of this one were over."""
        self._control.call("rotate_qr")

    def idle_qr(self) -> None:
        """Stop showing codes, as after the last of them."""
        self._control.call("idle_qr")

    def enter_link_code(self, code: str, timeout_s: float = 30.0) -> int:
        """Link with the code a page got for the account's number; returns the device's number. A code for another
        number, an old one or a void one raises PhoneRefused."""
        device: int = self._control.call("enter_link_code", code=code, timeout_s=timeout_s)
        return device

    def answer_link_codes(self, refusal: str | None = None, *, after_s: float = 0.0) -> None:
        """From now on refuse whoever asks for a code, with an error as `IQErrorRateOverlimit`, or give one, late."""
        self._control.call("answer_link_codes", refusal=refusal, after_s=after_s)

    def void_link_codes(self, event: str = "refresh_alt_linking_code") -> int:
        """Have the pages that gave codes told that these are void: `refresh_alt_linking_code`, `force_manual_refresh`
        or `error_alt_linking`; returns how many pages that were."""
        pages: int = self._control.call("void_link_codes", event=event)
        return pages

    def link_codes_asked(self) -> list[Json]:
        """Whom codes were asked for: `phone`, and whether the phone was to be notified (`push`)."""
        asked: list[Json] = self._control.call("link_codes_asked")
        return asked
