"""Chromium's DevTools protocol, synchronously: enough to drive a page in a test and to crash one."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import urlopen

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Request, TextMessage

CHUNK = 1 << 16

Json = dict[str, Any]
Listener = Callable[[Json], None]


class DevToolsError(Exception):
    """Chromium refused a command, or the connection to it is gone."""


class DevToolsTimeout(DevToolsError):
    """Chromium did not answer a command within its deadline."""


class DevTools:
    """One DevTools target over its WebSocket; events are heard while something is awaited."""

    def __init__(self, websocket_url: str) -> None:
        address = urlsplit(websocket_url)
        assert address.hostname is not None
        self._socket = socket.create_connection((address.hostname, address.port or 80), timeout=30)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._ids = itertools.count(1)
        self._replies: dict[int, Json] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._partial: list[str] = []
        self._open = False
        self._write(Request(host=address.netloc, target=address.path))
        self._wait(lambda: self._open, "the handshake", time.monotonic() + 30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def on(self, event: str, listener: Listener) -> None:
        """Call `listener` with the parameters of every such event from now on."""
        self._listeners.setdefault(event, []).append(listener)

    def call(self, method: str, timeout_s: float = 30.0, **params: Any) -> Json:
        """Run a command and return its result."""
        command_id = self.post(method, **params)
        self._wait(lambda: command_id in self._replies, method, time.monotonic() + timeout_s)
        reply = self._replies.pop(command_id)
        if "error" in reply:
            raise DevToolsError(f"{method}: {reply['error']['message']}")
        result: Json = reply["result"]
        return result

    def post(self, method: str, **params: Any) -> int:
        """Send a command whose reply nobody waits for: that of a page which is about to crash."""
        command_id = next(self._ids)
        self._write(TextMessage(json.dumps({"id": command_id, "method": method, "params": params})))
        return command_id

    def wait_until(self, done: Callable[[], object], what: str, timeout_s: float) -> None:
        """Hear events until a condition on them holds."""
        self._wait(done, what, time.monotonic() + timeout_s)

    def _wait(self, done: Callable[[], object], what: str, deadline: float) -> None:
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise DevToolsTimeout(f"no answer to {what} in time")
            self._socket.settimeout(remaining)
            try:
                data = self._socket.recv(CHUNK)
            except TimeoutError:
                continue
            if not data:
                raise DevToolsError(f"Chromium closed the connection during {what}")
            self._protocol.receive_data(data)
            self._hear()

    def _hear(self) -> None:
        for event in self._protocol.events():
            if isinstance(event, AcceptConnection):
                self._open = True
            elif isinstance(event, TextMessage):
                self._partial.append(event.data)
                if event.message_finished:
                    text, self._partial = "".join(self._partial), []
                    self._dispatch(json.loads(text))
            elif isinstance(event, CloseConnection):
                raise DevToolsError("Chromium closed the connection")

    def _dispatch(self, message: Json) -> None:
        if "id" in message:
            self._replies[message["id"]] = message
            return
        for listener in self._listeners.get(message["method"], []):
            listener(message.get("params", {}))

    def _write(self, event: Request | Message[str]) -> None:
        self._socket.settimeout(30)
        self._socket.sendall(self._protocol.send(event))


def targets(port: int) -> list[Json]:
    """What a browser's DevTools port offers."""
    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20) as answer:
        found: list[Json] = json.load(answer)
    return found


def crash_pages(port: int, url_prefix: str) -> int:
    """Crash the renderer of every page of a site, through the browser's own DevTools port."""
    pages = [t for t in targets(port) if t["type"] == "page" and t["url"].startswith(url_prefix)]
    for page in pages:
        with DevTools(page["webSocketDebuggerUrl"]) as devtools:
            crashed: list[Json] = []
            devtools.on("Inspector.targetCrashed", crashed.append)
            devtools.call("Inspector.enable")
            devtools.post("Page.crash")
            devtools.wait_until(partial(bool, crashed), "the crash", timeout_s=20)
    return len(pages)
