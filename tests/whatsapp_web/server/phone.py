"""The phone that owns the account: it scans codes, links devices and unlinks them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tests.whatsapp_web.server.session import Registration, Session
from tests.whatsapp_web.server.site import Site

QR_PARTS = 5


class PhoneRefuses(Exception):
    """The phone does not link a device, and shows its owner why."""


class Phone:
    """What a person can do on the phone."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def scan(self, payload: str | None, timeout_s: float) -> int:
        """Scan a QR code (the one on show when none is given); the answer is the new device's number."""
        code = payload or await self.code_on_show(timeout_s)
        await self._is_shown(code, timeout_s)
        return await self._link(self._session_of(code), timeout_s)

    async def enter_link_code(self, code: str, timeout_s: float) -> int:
        """Type in the code that a page shows instead of a QR; the answer is the new device's number."""
        typed = code.replace("-", "").upper()
        for session, registration in self._waiting():
            known = registration.link_code
            if known is None or known.code != typed:
                continue
            if not known.is_for(self._site.account.me.phone):
                raise PhoneRefuses("this code is for another number")
            if known.age_s > self._site.options.link_code_s:
                raise PhoneRefuses("this code has expired")
            return await self._link(session, timeout_s)
        raise PhoneRefuses("no page shows this link code")

    def void_link_codes(self, event: str) -> int:
        """Have every page that gave a code told that it is void; the answer is how many that were."""
        given = [(session, registration) for session, registration in self._waiting() if registration.link_code]
        for session, registration in given:
            registration.link_code = None
            session.connection.send({"type": "link_code_void", "event": event})
        return len(given)

    async def code_on_show(self, timeout_s: float) -> str:
        """The complete code a page shows, awaited."""
        code = await self._sees(lambda code: code is not None, timeout_s)
        if code is None:
            raise PhoneRefuses("no page shows a QR code")
        return code

    async def sees_another(self, old: str | None, timeout_s: float) -> None:
        """Wait until the old code is not on show any more."""
        await self._sees(lambda code: code != old, timeout_s)

    def glance(self) -> str | None:
        """The code on show at this moment; that of the page opened last, if several show one."""
        codes = [registration.code_on_show for _, registration in self._waiting()]
        return next((code for code in reversed(codes) if code is not None), None)

    def log_out_devices(self) -> int:
        """Unlink every device: reachable ones learn it now, others when they come back."""
        devices = list(self._site.account.devices)
        self._site.account.devices.clear()
        for session in self._site.network.logged_in():
            session.dismiss("device_removed")
            session.device = None
        return len(devices)

    async def _link(self, session: Session, timeout_s: float) -> int:
        try:
            return await session.pair(timeout_s)
        except TimeoutError:
            raise PhoneRefuses("the page did not answer; the device is not linked") from None

    def _waiting(self) -> list[tuple[Session, Registration]]:
        return [(s, s.registration) for s in self._site.network.sessions if s.registration is not None]

    async def _is_shown(self, code: str, timeout_s: float) -> None:
        """A page shows a new code to everybody at once; whoever has read it elsewhere may be here before it is."""
        ref, _, _ = code.partition(",")
        given = [registration for _, registration in self._waiting() if ref in registration.refs]
        await self._until(lambda: all(registration.code_on_show is not None for registration in given), timeout_s)

    async def _sees(self, expected: Callable[[str | None], bool], timeout_s: float) -> str | None:
        await self._until(lambda: expected(self.glance()), timeout_s)
        return self.glance()

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._site.codes_changed.clear()
                    await self._site.codes_changed.wait()

    def _session_of(self, code: str) -> Session:
        """The page whose code this is; every part of it must be right, as for a phone."""
        parts = code.split(",")
        if len(parts) != QR_PARTS:
            raise PhoneRefuses(f"not a WhatsApp code: {len(parts)} parts instead of {QR_PARTS}")
        for session, registration in self._waiting():
            if parts[0] not in registration.refs:
                continue
            if code == registration.code_on_show:
                return session
            shown = (registration.code_on_show or "").split(",")
            if parts[0] != shown[0]:
                raise PhoneRefuses("this code has expired")
            raise PhoneRefuses("the keys in this code are not those of the page")
        raise PhoneRefuses("this code is unknown or has expired")
