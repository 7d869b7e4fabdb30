"""From a server: only with TLS, and only one of the internet's, unless SEND_PRIVATE_HOSTS names it."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import Message
from typing import BinaryIO
from urllib.parse import SplitResult, quote, unquote, urljoin

from whatsapp_contract import public_addresses
from whatsapp_contract.errors import NotFound, Refused, StoreUnavailable
from whatsapp_contract.public_addresses import is_plainly_private

from .content import Fetched, copy, described, left_s
from .rules import Rules, split_address

REDIRECTS_AT_MOST = 5
STEP_WITHIN_S = 15.0  # one connection, or one answer of the server's

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class NoSuchHost(NotFound):
    """A name server says that the host's name does not exist. Names come and go, but not for long."""


def check(parts: SplitResult, rules: Rules) -> None:
    """What can be said of an address without asking anybody. Raises Refused."""
    _check_address(parts, rules)
    _target(parts)


def fetch(url: str, out: BinaryIO, rules: Rules, deadline: float) -> Fetched:
    for _ in range(1 + REDIRECTS_AT_MOST):
        parts = split_address(url)
        _check_address(parts, rules)
        with _connected(parts, rules, deadline) as connection:
            answer = _asked(connection, parts)
            if answer.status in _REDIRECTS:
                url = _joined(url, answer.headers.get("Location", ""))
                continue
            _check_status(answer.status)
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise Refused("the source is encoded, though that was not asked for")
            length = answer.headers.get("Content-Length", "")
            expected = int(length) if length.isascii() and length.isdigit() and not answer.chunked else None
            size, head = copy(answer.read1, out, rules.max_bytes, expected, deadline)
            return described(size, head, answer.headers.get_content_type(), _name_in(answer.headers, parts))
    raise Refused(f"the source leads on more than {REDIRECTS_AT_MOST} times")


def _joined(url: str, location: str) -> str:
    with contextlib.suppress(UnicodeError):  # a header's bytes come as Latin-1; browsers take them for UTF-8
        location = location.encode("latin-1").decode()
    try:
        return urljoin(url, location)
    except ValueError:
        raise Refused("the source leads to an address that cannot be read") from None


def _check_address(parts: SplitResult, rules: Rules) -> None:
    try:
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not _is_host(host):
        raise Refused("the source's address cannot be used; a name and a password must not be in it")
    if parts.scheme == "http" and host.lower() not in rules.private_hosts:
        raise Refused("without TLS a source is taken only from hosts in SEND_PRIVATE_HOSTS")
    if host.lower() not in rules.private_hosts and is_plainly_private(host):
        raise Refused(_NOT_PUBLIC)


_NOT_PUBLIC = "the source's host is not a public one; SEND_PRIVATE_HOSTS can name it"


def _is_host(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return all(c.isprintable() and not c.isspace() and c not in '<>"{}|\\^`' for c in host)


def _target(parts: SplitResult) -> str:
    """Path and query as they are asked for: what must not stand in them as it is stands in percent-encoding."""
    if any(c < " " or c == "\x7f" for c in parts.path + parts.query):
        raise Refused("the source's address has control characters in it")
    path = quote(parts.path or "/", safe=_IN_ADDRESSES)
    return f"{path}?{quote(parts.query, safe=_IN_ADDRESSES + '?')}" if parts.query else path


_IN_ADDRESSES = "/%:@!$&'()*+,;=~"


@contextlib.contextmanager
def _connected(parts: SplitResult, rules: Rules, deadline: float) -> Iterator[http.client.HTTPConnection]:
    """A connection to the address that was looked at. It ends with the deadline, however slowly bytes come."""
    host = str(parts.hostname)
    sock = _socket_to(host, parts.port or (443 if parts.scheme == "https" else 80), rules, deadline)
    twin = sock.dup()  # TLS takes the connection over from the socket that made it
    cut = threading.Timer(left_s(deadline), _shut, [twin])
    cut.daemon = True
    cut.start()
    try:
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, parts.port)
        connection.sock = sock
        yield connection
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the source's certificate is not good: {error.verify_message}") from None
    except (http.client.InvalidURL, UnicodeError):
        raise Refused("the source's address cannot be asked for") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StoreUnavailable(f"the source does not answer: {type(error).__name__}") from None
    finally:
        cut.cancel()
        twin.close()
        sock.close()


def _socket_to(host: str, port: int, rules: Rules, deadline: float) -> socket.socket:
    try:
        found = public_addresses.resolve(host, port, rules.private_hosts)
        return public_addresses.connect(found, lambda: min(STEP_WITHIN_S, left_s(deadline)))
    except UnicodeError:
        raise Refused("the source's host can be none") from None
    except public_addresses.NoSuchHost:
        raise NoSuchHost("the source's host does not exist: no name server knows it") from None
    except public_addresses.NoNameServer:
        raise StoreUnavailable("no name server can be asked for the source's host") from None
    except public_addresses.NotPublic:
        raise Refused(_NOT_PUBLIC) from None
    except public_addresses.NotConnected:
        raise StoreUnavailable("the source cannot be connected to") from None


def _asked(connection: http.client.HTTPConnection, parts: SplitResult) -> http.client.HTTPResponse:
    headers = {"Accept-Encoding": "identity", "User-Agent": "whatsapp-container", "Connection": "close"}
    connection.request("GET", _target(parts), headers=headers)
    return connection.getresponse()


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status in _PASSING:
        raise StoreUnavailable(f"the source answers {status}")
    if status in (401, 403):
        raise Refused(f"the source answers {status}")
    raise NotFound(f"the source answers {status}")


def _name_in(headers: Message, parts: SplitResult) -> str:
    return headers.get_filename() or unquote(parts.path.rsplit("/", 1)[-1])


def _shut(sock: socket.socket) -> None:
    """End a connection, whoever reads it, and however it is wrapped."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
