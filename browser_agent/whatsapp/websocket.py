"""A WebSocket to DevTools, straight on asyncio's transport.

The frames are websockets' own (its sans-I/O side); only its asyncio side is passed by. That one wakes two tasks for
each message, which is most of a message's way through this process.
"""

import asyncio
from collections.abc import Callable

from websockets.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri


class WebSocket(asyncio.Protocol):
    """Text messages of any size go to `on_text`; `on_lost` is called once, when the connection is over."""

    def __init__(self, url: str, on_text: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        self._frames = ClientConnection(parse_uri(url), max_size=None)
        self._on_text = on_text
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._opened = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []

    @classmethod
    async def open(cls, url: str, on_text: Callable[[str], None], on_lost: Callable[[], None]) -> "WebSocket":
        """Raises OSError when there is no server, or it does not speak WebSocket."""
        uri = parse_uri(url)
        loop = asyncio.get_running_loop()
        _transport, made = await loop.create_connection(lambda: cls(url, on_text, on_lost), uri.host, uri.port)
        await made._opened
        return made

    def send(self, text: str) -> None:
        """Into the transport's buffer at once. After the connection is lost it goes nowhere."""
        if self._transport is None:
            return
        self._frames.send_text(text.encode())
        self._flush()

    def abort(self) -> None:
        """Close at once; `on_lost` follows."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._frames.send_request(self._frames.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._frames.receive_data(data)
        self._flush()  # what the library answers by itself: pongs, the closing handshake
        for event in self._frames.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Response):
                self._on_response()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionError("closed during the handshake"))
        self._on_lost()

    # -- details ---------------------------------------------------------------------------------------------

    def _on_response(self) -> None:
        error = self._frames.handshake_exc
        if error is None:
            self._opened.set_result(None)
        elif not self._opened.done():
            self._opened.set_exception(ConnectionError(f"no WebSocket: {error}"))
            self.abort()

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.abort()
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(frame.data)
            if frame.fin:
                text = b"".join(self._parts).decode()
                self._parts.clear()
                self._on_text(text)

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._frames.data_to_send():
            if data:
                self._transport.write(data)
