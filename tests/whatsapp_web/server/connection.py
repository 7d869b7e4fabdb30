"""One WebSocket of a page: frames out in order, frames in to the session, and the ways a link dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.whatsapp_web.server.messages import Frame, Message, Notice

# The real framing lets one WebSocket frame carry several stanzas, too; a burst makes use of it.
STANZAS_IN_A_FRAME = 25

Receive = Callable[[Frame], Awaitable[None]]


class Connection:
    """A page's link.

    `cut()` ends it as a lost network does, without a closing frame. `go_silent()` leaves TCP open and carries
    nothing any more in either direction: the half-open link that the page takes for a live one. `slow_s` is what each
    frame takes, one after the other, in either direction.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self.silent = False
        self.slow_s = 0.0
        self._websocket = websocket
        self._outgoing: asyncio.Queue[Frame | Message | Notice | None] = asyncio.Queue()
        self._cut = asyncio.Event()

    async def run(self, receive: Receive) -> str:
        """Carry frames until one side ends the link: `finished` by the server, `left` by the page, or `cut`."""
        ways = {
            asyncio.ensure_future(self._write()): "finished",
            asyncio.ensure_future(self._read(receive)): "left",
            asyncio.ensure_future(self._cut.wait()): "cut",
        }
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
            return ", ".join(ways[way] for way in done)
        finally:
            for way in ways:
                way.cancel()

    def send(self, frame: Frame | Message | Notice) -> None:
        """Put something on its way; on a silent link it is lost, as on a real one."""
        if not self.silent:
            self._outgoing.put_nowait(frame)

    def finish(self) -> None:
        """End the link after what is already on its way."""
        self._outgoing.put_nowait(None)

    def go_silent(self) -> None:
        self.silent = True

    def cut(self) -> None:
        self._cut.set()

    async def _write(self) -> None:
        while True:
            stanzas, finished = await self._next_stanzas()
            await asyncio.sleep(self.slow_s)
            if stanzas and not self.silent:
                text = json.dumps([_on_the_wire(stanza) for stanza in stanzas])
                try:
                    await self._websocket.send({"type": "websocket.send", "text": text})
                except WebSocketDisconnect:
                    return
            if finished:
                return

    async def _next_stanzas(self) -> tuple[list[Frame | Message | Notice], bool]:
        """What is to be sent next, awaited; and whether that is the end."""
        stanzas = []
        waiting = await self._outgoing.get()
        while waiting is not None:
            stanzas.append(waiting)
            if len(stanzas) == STANZAS_IN_A_FRAME or self._outgoing.empty():
                return stanzas, False
            waiting = self._outgoing.get_nowait()
        return stanzas, True

    async def _read(self, receive: Receive) -> None:
        while True:
            try:
                text = await self._websocket.receive_text()
            except WebSocketDisconnect:
                return
            await asyncio.sleep(self.slow_s)
            if not self.silent:
                await receive(json.loads(text))


def _on_the_wire(stanza: Frame | Message | Notice) -> Frame:
    if not isinstance(stanza, Message | Notice):
        return stanza
    stanza.sent_at.append(time.time())
    return stanza.as_frame() if isinstance(stanza, Notice) else {"type": "message", "message": stanza.as_frame()}
