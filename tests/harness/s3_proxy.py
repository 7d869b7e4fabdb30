"""In front of moto's S3: answers as the real one where moto does not, and fails where a test wants it to.

As the real one: a missing key is 403 to whoever may not list, and requests are carried out one at a time. moto
compares and writes in two steps, and closes an object that is replaced under who reads it.
"""

from __future__ import annotations

import http.client
import math
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

CONDITIONS = ("if-match", "if-none-match")
ENCRYPTION = ("x-amz-server-side-encryption",)
PIECE = 1 << 20


@dataclass(frozen=True)
class Status:
    """Answers by itself; with `carried_out` only after the request was."""

    status: int
    code: str = "InternalError"
    message: str = "from the proxy"
    carried_out: bool = False
    body: bytes | None = None  # instead of S3's XML


@dataclass(frozen=True)
class Hang:
    """No answer, until the client goes away; with `in_body` after half of the answer's body."""

    in_body: bool = False


@dataclass(frozen=True)
class Cut:
    """The connection ends: with half of the answer's body sent, or, of a write, half of its body read."""


@dataclass(frozen=True)
class LostAnswer:
    """The request is carried out, and the connection ends without an answer. A client that retries meets itself."""


@dataclass(frozen=True)
class Unconditional:
    """A server that does not know If-Match and If-None-Match, and does not say so."""


Fault = Status | Hang | Cut | LostAnswer | Unconditional

NOT_IMPLEMENTED = Status(501, "NotImplemented", "A header you provided implies functionality that is not implemented")


@dataclass(frozen=True)
class Seen:
    """A request as it was answered; `status` 0 when it was not."""

    method: str
    key: str
    query: str
    status: int


@dataclass
class _Planned:
    fault: Fault
    at: int
    times: float
    method: str | None
    key: str | None
    headers: tuple[str, ...]
    matched: int = 0

    def applies(self, method: str, key: str, headers: Mapping[str, str]) -> bool:
        if self.method not in {None, method} or (self.key is not None and not key.endswith(self.key)):
            return False
        if self.headers and not any(name in headers for name in self.headers):
            return False
        self.matched += 1
        return self.at <= self.matched < self.at + self.times


@dataclass
class Faults:
    """What goes wrong, and what was asked so far."""

    _seen: list[Seen] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _under_way: int = 0

    @property
    def seen(self) -> list[Seen]:
        """In the order of their ends. A client may have its answer a moment before this knows of it."""
        deadline = time.monotonic() + 5
        while self._under_way and time.monotonic() < deadline:
            time.sleep(0.001)
        with self._lock:
            return list(self._seen)

    def add(
        self,
        fault: Fault,
        *,
        at: int = 1,
        times: float = math.inf,
        method: str | None = None,
        key: str | None = None,
        headers: tuple[str, ...] = (),
    ) -> None:
        """From the `at`-th request on (from now, of those that fit), for so many `times`; a client's retries count.

        `key` is how the key ends; `headers`: with one of them.
        """
        with self._lock:
            self._planned.append(_Planned(fault, at, times, method, key, headers))

    def clear(self) -> None:
        """Nothing goes wrong any more, and nothing was asked."""
        with self._lock:
            self._planned.clear()
            self._seen.clear()

    def next_for(self, method: str, key: str, headers: Mapping[str, str]) -> Fault | None:
        with self._lock:
            self._under_way += 1
            applying = [planned.fault for planned in self._planned if planned.applies(method, key, headers)]
        return applying[0] if applying else None

    def note(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)
            self._under_way -= 1


class S3Proxy:
    """A context manager; `url` is what S3_ENDPOINT_URL should be. `resign` makes a changed request valid again."""

    def __init__(
        self,
        upstream_port: int,
        *,
        may_list: bool,
        resign: Callable[[str, str, dict[str, str], bytes], dict[str, str]],
    ) -> None:
        self.faults = Faults()
        self.upstream_port = upstream_port
        self.may_list = may_list
        self.resign = resign
        self.one_at_a_time = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # joined at the end
    proxy: S3Proxy

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Kept-alive ones would be waited for."""
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def handle_error(self, *_: object) -> None:
        """A client that went away is what some tests are about."""


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Gone(Exception):
    """The connection is to end without a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def handle_any(self) -> None:
        path = urlsplit(self.path)
        self.key = unquote(path.path).lstrip("/").partition("/")[2]
        self.given = {name.lower(): value for name, value in self.headers.items()}
        status = 0
        try:
            status = self._answer(self._proxy.faults.next_for(self.command, self.key, self.given))
        except (_Gone, OSError):
            self.close_connection = True
        finally:
            self._proxy.faults.note(Seen(self.command, self.key, path.query, status))

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_any  # noqa: N815

    @property
    def _proxy(self) -> S3Proxy:
        assert isinstance(self.server, _Server)
        return self.server.proxy

    def _answer(self, fault: Fault | None) -> int:
        length = int(self.given.get("content-length", 0))
        if isinstance(fault, Cut) and length:
            self.rfile.read(length // 2)
            raise _Gone
        body = self.rfile.read(length)
        if len(body) < length:
            raise _Gone  # whoever wrote was killed; passed on, the server would wait for the rest, and others for it
        if isinstance(fault, Hang) and not fault.in_body:
            self._wait_for_the_end()
        if isinstance(fault, Status):
            if fault.carried_out:
                self._carry_out(body)
            xml = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>".encode()
            return self._send(_Reply(fault.status, [], xml if fault.body is None else fault.body))
        reply = self._carry_out(body, unconditional=isinstance(fault, Unconditional))
        if isinstance(fault, LostAnswer):
            raise _Gone
        if isinstance(fault, Hang | Cut):
            self._send(reply, len(reply.body) // 2)
            if isinstance(fault, Hang):
                self._wait_for_the_end()
            raise _Gone
        return self._send(self._as_the_real_one(reply))

    def _carry_out(self, body: bytes, *, unconditional: bool = False) -> _Reply:
        headers = {name: value for name, value in self.given.items() if name not in {"expect", "connection"}}
        if unconditional and any(headers.pop(name, None) for name in CONDITIONS):
            headers = self._proxy.resign(self.command, self.path, headers, body)
        with self._proxy.one_at_a_time:
            return self._forward(headers, body)

    def _forward(self, headers: dict[str, str], body: bytes) -> _Reply:
        upstream = http.client.HTTPConnection("127.0.0.1", self._proxy.upstream_port, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            hop = {"connection", "content-length", "transfer-encoding", "server", "date"}
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop]
            return _Reply(answer.status, kept, answer.read())
        finally:
            upstream.close()

    def _as_the_real_one(self, reply: _Reply) -> _Reply:
        if self.command == "GET" and reply.status == 404 and b"NoSuchKey" in reply.body and not self._proxy.may_list:
            return _Reply(403, [], b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        return reply

    def _send(self, reply: _Reply, body_at_most: int | None = None) -> int:
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[:body_at_most])
        self.wfile.flush()
        return reply.status

    def _wait_for_the_end(self) -> None:
        while not self._proxy.closing.is_set():
            if select.select([self.connection], [], [], 0.02)[0]:
                break
        raise _Gone
