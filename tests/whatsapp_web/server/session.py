"""What a page's frames mean: registering, proving a device, receiving messages, sending, asking."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.whatsapp_web.server.account import Device
from tests.whatsapp_web.server.connection import Connection
from tests.whatsapp_web.server.link_codes import LinkCode
from tests.whatsapp_web.server.messages import Frame, Message

if TYPE_CHECKING:
    from tests.whatsapp_web.server.site import Site


@dataclass
class Registration:
    """A page that waits to be linked: what the phone will compare the scanned code with."""

    noise_key: str
    identity_key: str
    platform: str
    refs: list[str] = field(default_factory=list)
    code_on_show: str | None = None
    link_code: LinkCode | None = None
    accepted: asyncio.Future[int] | None = None


class Session:
    """The conversation over one connection; it begins with a challenge."""

    def __init__(self, site: Site, connection: Connection) -> None:
        self.connection = connection
        self.registration: Registration | None = None
        self.device: Device | None = None
        self._site = site
        self._challenge = secrets.token_hex(16)
        self._pairing: Device | None = None
        self._held: set[str] = set()
        self._handlers: dict[str, Callable[[Frame], None]] = {
            "register": self._register,
            "refresh_refs": self._refresh_refs,
            "idle": self._idle,
            "pair_accepted": self._pair_accepted,
            "login": self._login,
            "received": self._received,
            "message": self._message,
            "query": self._query,
            "ping": self._ping,
        }

    def greet(self) -> None:
        self.connection.send({"type": "hello", "challenge": self._challenge})

    async def receive(self, frame: Frame) -> None:
        self._handlers[frame["type"]](frame)

    def dismiss(self, reason: str) -> None:
        """Tell the page that its device is not linked (any more), and end the link: it logs itself out."""
        self.connection.send({"type": "stream_error", "reason": reason})
        self.connection.finish()

    def stop(self, state: str) -> None:
        """End the link in a state that the page does not leave by itself: CONFLICT, or one of the blocks."""
        self.connection.send({"type": "stream_error", "state": state})
        self.connection.finish()
        self.device = None

    # --- an unpaired page

    def _register(self, frame: Frame) -> None:
        self.registration = Registration(frame["noise_key"], frame["identity_key"], frame["platform"])
        self._refresh_refs(frame)

    def _refresh_refs(self, _: Frame) -> None:
        assert self.registration is not None, "only an unpaired page asks for refs"
        # As the real server, all at once; the page shows one after the other.
        how_many = 1 + self._site.options.qr_rotations_before_idle
        refs = ["2@" + secrets.token_urlsafe(96) for _ in range(how_many)]
        self.registration.refs, self.registration.code_on_show = refs, None
        self.registration.link_code = None
        self.connection.send({"type": "qr_refs", "refs": refs})

    def _idle(self, _: Frame) -> None:
        assert self.registration is not None, "only an unpaired page shows codes"
        self.registration.refs, self.registration.code_on_show = [], None
        self._site.codes_changed.set()

    async def pair(self, timeout_s: float) -> int:
        """Offer the page a device; the answer is its number once the page has kept its keys."""
        assert self.registration is not None
        self._pairing = device = self._site.account.new_device()
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.registration.accepted = accepted
        me = self._site.account.me
        self.connection.send(
            {
                "type": "paired",
                "device": device.number,
                "key": device.key,
                "me": {"phone": me.phone, "lid": me.lid, "name": me.name},
            }
        )
        async with asyncio.timeout(timeout_s):
            return await accepted

    def _pair_accepted(self, _: Frame) -> None:
        assert self.registration is not None
        assert self._pairing is not None
        self._site.account.link(self._pairing)
        if self.registration.accepted is not None and not self.registration.accepted.done():
            self.registration.accepted.set_result(self._pairing.number)
        # The real server asks for a new stream after pairing, too.
        self.connection.finish()

    # --- a linked page

    def _login(self, frame: Frame) -> None:
        device = self._site.account.devices.get(frame["device"])
        if device is None or not device.proves(self._challenge, frame["proof"]):
            self.dismiss("unauthorized")
            return
        shut_out = self._site.network.shut_out
        if shut_out is not None and not shut_out.after_s:
            self.stop(shut_out.state)
            return
        self._site.network.displace(device, by=self)
        self.device = device
        if shut_out is not None:
            asyncio.get_running_loop().call_later(shut_out.after_s, self.stop, shut_out.state)
        if frame["after_load"]:
            self._site.write_during_boot()
        self.connection.send({"type": "welcome", "roster": self._site.roster()})
        self._deliver_offline(device)

    def _deliver_offline(self, device: Device) -> None:
        owed = list(device.undelivered.values())
        history = [one.as_history() for one in owed if isinstance(one, Message) and one.key in device.history]
        news = [one for one in owed if one.key not in device.history]
        if history:
            self.connection.send({"type": "history", "messages": history})
        for one in news:
            self.connection.send(one)
        self.connection.send({"type": "offline_end", "count": len(news)})

    def _received(self, frame: Frame) -> None:
        if self.device is not None:
            self.device.acknowledge(frame["keys"])

    def _message(self, frame: Frame) -> None:
        answer = self._site.account.sends.receive(frame)
        if answer is not None:
            self.connection.send(answer)

    def _query(self, frame: Frame) -> None:
        if frame["id"] in self._held:
            return  # asked again before it was answered
        result = self._site.answer(self, frame["name"], frame["args"])
        answer = {"type": "result", "id": frame["id"], "result": result}
        if frame["name"] == "link_code" and self._site.link_codes.after_s:
            self._held.add(frame["id"])
            asyncio.get_running_loop().call_later(self._site.link_codes.after_s, self.connection.send, answer)
        else:
            self.connection.send(answer)

    def _ping(self, _: Frame) -> None:
        self.connection.send({"type": "pong"})
