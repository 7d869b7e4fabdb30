"""One POST after another to one address, over a connection that is kept.

Only to the address that was looked at (public_addresses.py), by no proxy, and to where no redirect leads.
"""

import base64
import contextlib
import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from whatsapp_contract import public_addresses

from .timed_socket import TimedSocket

if TYPE_CHECKING:
    import ssl

CONNECT_WITHIN_S = 5.0  # TLS included
ANSWER_WITHIN_S = 15.0
ANSWER_AT_MOST = 64 * 1024


class NoAnswer(Exception):
    """Why, in words that give away nothing of the address but its host."""


@dataclass(frozen=True)
class Answer:
    """Of what was answered only this is kept."""

    status: int
    retry_after_s: float | None


class Poster:
    """For one thread. Raises NoAnswer."""

    def __init__(
        self,
        url: str,
        private_hosts: frozenset[str],
        *,
        connect_within_s: float = CONNECT_WITHIN_S,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._is_tls = str(parts.hostname), parts.port, parts.scheme == "https"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Authorization": _basic(parts.username, parts.password)} if parts.username else {}
        self._private_hosts = private_hosts
        self._connect_within_s, self._answer_within_s = connect_within_s, answer_within_s
        self._kept: tuple[TimedSocket, http.client.HTTPConnection] | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """A connection that was kept and turns out to be closed is no failure: then it is posted over a new one."""
        if self._kept is not None and self._kept[0].is_dead():
            self.close()
        if self._kept is not None:
            with contextlib.suppress(_WasClosed):
                return self._posted(body, headers)
        self._connect()
        try:
            return self._posted(body, headers)
        except _WasClosed:
            raise NoAnswer("the connection was closed without an answer") from None

    def close(self) -> None:
        if self._kept is not None:
            self._kept[0].end()
            self._kept = None

    def _posted(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        assert self._kept is not None  # see post
        timed, connection = self._kept
        timed.deadline = time.monotonic() + self._answer_within_s
        try:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # it may have said why before
                connection.request("POST", self._target, body, {**self._headers, **headers})
            with connection.getresponse() as response:
                if not _read_whole(response) or response.will_close:
                    self.close()
                return Answer(response.status, _retry_after_s(response.headers.get("Retry-After")))
        except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError) as error:
            self.close()
            raise _WasClosed from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise NoAnswer(_why(error)) from None
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        def left_s() -> float:
            return max(0.001, deadline - time.monotonic())

        try:
            found = public_addresses.resolve(
                self._host, self._port or (443 if self._is_tls else 80), self._private_hosts
            )
            deadline = time.monotonic() + self._connect_within_s  # the name server's time is the resolver's to bound
            sock = public_addresses.connect(found, left_s)
        except public_addresses.NotPublic:
            raise NoAnswer("its address is not a public one; WEBHOOK_PRIVATE_HOSTS can name the host") from None
        except (public_addresses.NoSuchHost, UnicodeError):
            raise NoAnswer("no name server knows its host") from None
        except public_addresses.NoNameServer:
            raise NoAnswer("no name server can be asked for its host") from None
        except public_addresses.NotConnected as error:
            raise NoAnswer(f"no connection: {error}") from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(left_s())
            if self._is_tls:
                sock = _tls().wrap_socket(sock, server_hostname=self._host)
        except (OSError, ValueError) as error:
            sock.close()
            raise NoAnswer(_why(error)) from None
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.response_class = _Response
        timed = TimedSocket(sock)
        connection.sock = timed  # as much of a socket as it needs
        self._kept = timed, connection


class _WasClosed(Exception):
    """By the other side, before its answer was there."""


class _Response(http.client.HTTPResponse):
    """It would take 103, Early Hints, for the answer."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= found[1] < 200:
                return found
            http.client.parse_headers(self.fp)


def _read_whole(response: http.client.HTTPResponse) -> bool:
    """Whether the answer ends where it should, so that another may follow. What it says is nobody's concern: once the
    status is there the receiver has spoken."""
    try:
        response.read(ANSWER_AT_MOST)
        return response.isclosed() or not response.read(1)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _retry_after_s(given: str | None) -> float | None:
    """Seconds, or a date."""
    if given is None:
        return None
    if given.isascii() and given.isdigit():
        return float(given[:9])
    try:
        at = parsedate_to_datetime(given)
        return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, IndexError, TypeError):  # whatever it is, it is no date
        return None


def _basic(name: str, password: str | None) -> str:
    return "Basic " + base64.b64encode(f"{unquote(name)}:{unquote(password or '')}".encode()).decode()


_contexts: "list[ssl.SSLContext]" = []


def _tls() -> "ssl.SSLContext":
    """One for the process: the authorities take a megabyte, and a while to be read."""
    import ssl

    if not _contexts:
        _contexts.append(ssl.create_default_context())
    return _contexts[0]


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if verify := getattr(error, "verify_message", None):
        return f"its certificate is not good: {verify}"
    if isinstance(error, OSError):
        return f"no answer: {getattr(error, 'reason', None) or error.strerror or type(error).__name__}"
    return f"what it answers is not HTTP ({type(error).__name__})"
