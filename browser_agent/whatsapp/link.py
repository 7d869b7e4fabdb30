"""The link to WhatsApp's server, judged by what was heard of the server: its WebSocket frames.

Chromium's Network events show the frames of the page's sockets, and, once we are attached to them, of its workers'
and shared workers'. The page's own socket state is no evidence: it reads CONNECTED on a dead link.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from whatsapp_contract.errors import ContractError

from .cdp import CdpConnection, CdpSession

# Chromium keeps bodies for DevTools to fetch later, which nobody does here.
_KEEP_NO_BODIES = {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}

_SOCKET_OPENED = ("Network.webSocketCreated", "Network.webSocketHandshakeResponseReceived")


class Link:
    """One page's link. Times are loop times. `frame_at` None means never heard: unknown, not dead."""

    def __init__(self, connection: CdpConnection, session: CdpSession) -> None:
        self.frame_at: float | None = None  # last frame from the server
        self.asked_at: float | None = None  # last query because of silence
        self.answered_at: float | None = None  # last time such a query was followed by a frame
        self.is_visible = False  # whether Chromium has ever shown one of its sockets
        self.new_was_heard = False  # a socket that was opened since `look_for_a_new_one` received a frame
        self._new: set[str] = set()  # sockets opened since then
        self._unanswered_at: float | None = None
        self._connection = connection
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()
        self._enabling: set[asyncio.Task[None]] = set()

    async def listen(self, *, within_s: float) -> None:
        """Hear the page from now on, and every worker as it comes."""
        self._connection.on("Target.attachedToTarget", self._on_attached)
        self._session.on("Target.attachedToTarget", self._on_attached)
        self._connection.on_frame = self._on_frame
        self._hear_opening(self._session)
        # The page's own workers are attached through its session; shared ones belong to the browser.
        shared = {
            "autoAttach": True,
            "waitForDebuggerOnStart": False,
            "flatten": True,
            "filter": [{"type": "shared_worker"}],
        }
        await asyncio.gather(
            self._session.call("Network.enable", _KEEP_NO_BODIES, within_s=within_s),
            self._connection.call("Target.setAutoAttach", shared, within_s=within_s),
        )

    def heard_since(self, moment: float) -> bool:
        """Whether a frame came after that loop time."""
        return self.frame_at is not None and self.frame_at > moment

    @property
    def silent_for_s(self) -> float:
        """Seconds since the last frame; 0 where none was ever heard."""
        return 0.0 if self.frame_at is None else self._loop.time() - self.frame_at

    @property
    def is_dead(self) -> bool:
        """Whether the server left the last query unanswered and was not heard since."""
        return self._unanswered_at is not None and not self.heard_since(self._unanswered_at)

    def look_for_a_new_one(self) -> None:
        """From now on `new_was_heard` is about connections made after this."""
        self._new.clear()
        self.new_was_heard = False

    async def expect_answer(self, ask: Callable[[], Awaitable[bool]], within_s: float) -> None:
        """Send a query; any frame is an answer. Without one in time the link is dead until it is heard again.

        `ask` answers whether it could send one: where it could not, nothing was learned.
        """
        asked_at = self._loop.time()
        self._heard.clear()
        if not await ask():
            return
        self.asked_at = asked_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._heard.wait()
        if self.heard_since(self.asked_at):
            self.answered_at = self.frame_at
        else:
            self._unanswered_at = self.asked_at

    def _on_frame(self, socket: str) -> None:
        self.frame_at = self._loop.time()
        self.is_visible = True
        self.new_was_heard |= socket in self._new
        self._heard.set()

    def _hear_opening(self, session: CdpSession) -> None:
        for event in _SOCKET_OPENED:
            session.on(event, self._on_socket_opened)

    def _on_socket_opened(self, params: dict[str, Any]) -> None:
        self.is_visible = True
        self._new.add(params["requestId"])

    def _on_attached(self, params: dict[str, Any]) -> None:
        if params["targetInfo"]["type"] not in ("worker", "shared_worker"):
            return
        session = self._connection._sessions[params["sessionId"]]
        self._hear_opening(session)
        task = self._loop.create_task(self._enable(session))
        self._enabling.add(task)
        task.add_done_callback(self._enabling.discard)

    async def _enable(self, session: CdpSession) -> None:
        # A worker may be gone before it is asked.
        with contextlib.suppress(ContractError):
            await session.call("Network.enable", _KEEP_NO_BODIES, within_s=5)
