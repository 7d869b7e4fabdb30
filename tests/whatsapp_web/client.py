"""The door to the stand-in for tests, the demo and benchmarks: starts the server, is the phone and the network."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tests.whatsapp_web.control_client import ControlClient, NoPageAnswered, PhoneRefused, WhatsAppWebError
from tests.whatsapp_web.devtools import crash_pages
from tests.whatsapp_web.doors.base import Json
from tests.whatsapp_web.doors.changes import ChangeDoors
from tests.whatsapp_web.doors.groups import GroupDoors
from tests.whatsapp_web.doors.kinds import KindDoors
from tests.whatsapp_web.doors.linking import LinkingDoors
from tests.whatsapp_web.doors.sends import SendDoors
from tests.whatsapp_web.server_process import ServerProcess

__all__ = ["NoPageAnswered", "PhoneRefused", "WhatsAppWeb", "WhatsAppWebError"]


class WhatsAppWeb(KindDoors, ChangeDoors, GroupDoors, SendDoors, LinkingDoors):
    """WhatsApp Web's server side, the phone that owns the account, and the network in between.

    A context manager: the server is a process of its own on a free port of the loopback, and ends with the
    `with` block, or with the thread that started it, even when that is killed. Options are those of
    `options.Options`, by name. Every call is synchronous.
    """

    def __init__(self, port: int = 0, **options: Any) -> None:
        self._process = ServerProcess(port, options)
        super().__init__(ControlClient(port))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self._process.start()
        self._control = ControlClient(self._process.port)

    def stop(self) -> int:
        """End the server; returns its exit status, which is 0 for a clean end."""
        return self._process.stop()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self._process.port}/"

    # --- the phone

    def log_out_from_phone(self) -> int:
        """Unlink every device; returns how many there were. An unreachable one learns it when it comes back."""
        unlinked: int = self._control.call("log_out_from_phone")
        return unlinked

    # --- the network

    def drop(self, refuse_s: float | None = None) -> None:
        """Cut every connection; refuse new ones for so long, or until `restore()`. Media hosts are down, too."""
        self._control.call("drop", refuse_s=refuse_s)

    def half_open(self, *, also_new: bool = False) -> None:
        """Let every connection go silent in both directions with TCP open; only a new one works, if any."""
        self._control.call("half_open", also_new=also_new)

    def restore(self) -> None:
        """End `drop`, `half_open`, `slow` and `shut_out`.

        A silent connection is reset, so that the page comes back by itself.
        """
        self._control.call("restore")

    def conflict(self) -> None:
        """Another client took over this device's link."""
        self._control.call("stop", state="CONFLICT")

    def block(self, state: str = "TOS_BLOCK") -> None:
        """The server shuts the page out: TOS_BLOCK, SMB_TOS_BLOCK, PROXYBLOCK or DEPRECATED_VERSION."""
        self._control.call("stop", state=state)

    def slow(self, frame_s: float) -> None:
        """Let each frame take so long, one after the other, in either direction, until `restore()`."""
        self._control.call("slow", frame_s=frame_s)

    def shut_out(self, state: str, after_s: float = 0.0) -> None:
        """Every login, that of now included, ends in CONFLICT or a block, so long after it, until `restore()`."""
        self._control.call("shut_out", state=state, after_s=after_s)

    # --- the page

    def busy_loop(self, ms: float) -> None:
        """Let the page hang for a while; returns when it is about to."""
        self._control.call("busy_loop", ms=ms)

    def leak(self, bytes: int) -> None:
        """Let the page take so much memory, until it is loaded anew."""
        self._control.call("leak", bytes=bytes)

    def deafen(self) -> None:
        """Let the store of messages tell nobody of what comes, until the page is loaded anew."""
        self._control.call("deafen")

    def slow_page(self, busy_ms: float, every_ms: float, for_ms: float) -> None:
        """Let the page be busy for a part of the time."""
        self._control.call("slow_page", busy_ms=busy_ms, every_ms=every_ms, for_ms=for_ms)

    def crash_page(self, devtools_port: int) -> int:
        """Crash the renderer of every page of this site in a browser; returns how many there were."""
        return crash_pages(devtools_port, self.url)

    # --- what is known

    def set_options(self, **changes: Any) -> None:
        """Change options by name; those of the page take effect when it is loaded next."""
        self._control.call("set_options", **changes)

    def state(self) -> Json:
        """The server at a glance: network, code on show, what devices have not acknowledged, open pages, options."""
        state: Json = self._control.call("state")
        return state

    def connections(self) -> Json:
        """WebSockets `opened` ever, `open` now, `silent` of those, `refused`, `logged_in`; numbers of `devices`."""
        connections: Json = self._control.call("connections")
        return connections

    def reset(self) -> None:
        """Forget everything: devices, messages, media, changed options. Connections are cut."""
        self._control.call("reset")
