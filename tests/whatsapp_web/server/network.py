"""The network between pages and server, with every way it fails."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from starlette.websockets import WebSocket

from tests.whatsapp_web.server.account import Device
from tests.whatsapp_web.server.messages import Frame
from tests.whatsapp_web.server.session import Session

ENDS_KEPT = 500


@dataclass(frozen=True)
class ShutOut:
    """Every login ends in this state, so long after its welcome; without a welcome where that is nothing."""

    state: str
    after_s: float


class Network:
    """Every open session, and whether a new one gets through."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.opened = 0
        self.ends: deque[str] = deque(maxlen=ENDS_KEPT)  # when each session ended, and how
        self.refused = 0
        self._refuses_until = 0.0
        self._new_are_silent = False
        self._slow_s = 0.0
        self.shut_out: ShutOut | None = None

    @property
    def down(self) -> bool:
        return time.monotonic() < self._refuses_until

    async def serve(self, websocket: WebSocket, session: Session) -> None:
        """Carry one page's session from its opening to its end, or refuse it."""
        if self.down:
            self.refused += 1
            await websocket.close()
            return
        await websocket.accept()
        self.opened += 1
        self.sessions.append(session)
        if self._new_are_silent:
            session.connection.go_silent()
        session.connection.slow_s = self._slow_s
        ended = "by a mistake of the server's"
        try:
            session.greet()
            ended = await session.connection.run(session.receive)
        finally:
            self.sessions.remove(session)
            self.ends.append(f"{datetime.now(UTC):%H:%M:%S.%f} {ended}")

    # --- what can go wrong

    def drop(self, refuse_s: float | None) -> None:
        """Cut every link; refuse new ones for a while, or until `restore()` when None."""
        self._refuses_until = inf if refuse_s is None else time.monotonic() + refuse_s
        for session in self.sessions:
            session.connection.cut()

    def half_open(self, also_new: bool) -> None:
        """Every link of now carries nothing any more; with `also_new`, later ones neither."""
        self._new_are_silent = also_new
        for session in self.sessions:
            session.connection.go_silent()

    def slow(self, frame_s: float) -> None:
        """From now on each frame takes so long."""
        self._slow_s = frame_s
        for session in self.sessions:
            session.connection.slow_s = frame_s

    def shut(self, state: str, after_s: float) -> None:
        """Stop whoever is logged in, and whoever logs in, until `restore()`."""
        self.shut_out = ShutOut(state, after_s)
        for session in self.logged_in():
            session.stop(state)

    def restore(self) -> None:
        """All is well again; a silent link is reset, as by the middlebox that forgot it."""
        self._refuses_until = 0.0
        self._new_are_silent = False
        self.shut_out = None
        self.slow(0.0)
        for session in self.sessions:
            if session.connection.silent:
                session.connection.cut()

    # --- what the server does to sessions

    def logged_in(self, device: Device | None = None) -> list[Session]:
        """The sessions of linked devices (of one of them) that can still be reached."""
        return [
            session
            for session in self.sessions
            if session.device is not None
            and (device is None or session.device is device)
            and not session.connection.silent
        ]

    def displace(self, device: Device, by: Session) -> None:
        """A device has one link: an older one learns that it was replaced."""
        for session in self.logged_in(device):
            if session is not by:
                session.stop("CONFLICT")

    def as_json(self) -> Frame:
        return {
            "opened": self.opened,
            "open": len(self.sessions),
            "silent": sum(session.connection.silent for session in self.sessions),
            "refused": self.refused,
            "logged_in": len(self.logged_in()),
            "ends": list(self.ends),
        }
