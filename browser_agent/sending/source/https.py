"""From a server: only with TLS, and only one of the internet's, unless SEND_PRIVATE_HOSTS names it."""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import Message
from typing import BinaryIO
from urllib.parse import SplitResult, quote, unquote, urljoin

from whatsapp_contract.errors import NotFound, Refused, StoreUnavailable

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
    if host.lower() not in rules.private_hosts and _is_plainly_private(host):
        raise Refused(_NOT_PUBLIC)


_NOT_PUBLIC = "the source's host is not a public one; SEND_PRIVATE_HOSTS can name it"


def _is_plainly_private(host: str) -> bool:
    """Whether that needs no name server to be known: the other hosts are looked at when they are connected to."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    literal = _literal(name)
    return literal is not None and not is_public(literal)


def _literal(host: str) -> str | None:
    """The IP address that a host is, None for a name."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host.partition("%")[0]))
    with contextlib.suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))  # 127.1 and 0x7f000001 are addresses, too
    return None


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
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise Refused("the source's host can be none") from None
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_HOST:
            raise NoSuchHost("the source's host does not exist: no name server knows it") from None
        raise StoreUnavailable("no name server can be asked for the source's host") from None
    except OSError:
        raise StoreUnavailable("no name server can be asked for the source's host") from None
    if host.lower() not in rules.private_hosts and not all(is_public(str(where[0])) for *_, where in found):
        raise Refused(_NOT_PUBLIC)
    for family, kind, protocol, _name, where in found:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(min(STEP_WITHIN_S, left_s(deadline)))
        try:
            sock.connect(where)
        except OSError:
            sock.close()
            continue
        return sock
    raise StoreUnavailable("the source cannot be connected to")


_NO_SUCH_HOST = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's, whatever is written around it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64 or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_link_local)


_NAT64 = ipaddress.ip_network("64:ff9b::/32")


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
