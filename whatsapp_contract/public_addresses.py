"""Connections to servers that somebody else names: only to the internet's, unless a host is named as private.

A name is resolved once, all that it stands for is looked at, and the connection is made to what was looked at: a name
server that answers something else a moment later leads nowhere.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import Any

Found = list[tuple[Any, ...]]  # as getaddrinfo gives them

_NO_SUCH_HOST = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_NAT64 = ipaddress.ip_network("64:ff9b::/32")


class NotPublic(Exception):
    """The host, or one of its addresses, is not one of the internet's."""


class NoSuchHost(Exception):
    """A name server says that there is no such host."""


class NoNameServer(Exception):
    """None could be asked."""


class NotConnected(Exception):
    """None of the host's addresses takes a connection; why not."""


def resolve(host: str, port: int, private_hosts: Collection[str]) -> Found:
    """Where the host is; `private_hosts` (lower case) may be anywhere.

    Raises NotPublic, NoSuchHost, NoNameServer, and UnicodeError for what can be no host.
    """
    try:
        found: Found = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise
    except socket.gaierror as error:
        raise (NoSuchHost if error.errno in _NO_SUCH_HOST else NoNameServer)(host) from None
    except OSError:
        raise NoNameServer(host) from None
    if host.lower() not in private_hosts and not all(is_public(str(where[0])) for *_, where in found):
        raise NotPublic(host)
    return found


def connect(found: Found, timeout_s: Callable[[], float]) -> socket.socket:
    """A connection to the first that takes one; `timeout_s` is asked before each. Raises NotConnected, and what
    `timeout_s` does."""
    why = "it has no address"
    for family, kind, protocol, _name, where in found:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 in the kernel, or no file descriptor left
            why = error.strerror or type(error).__name__
            continue
        try:
            sock.settimeout(timeout_s())
            sock.connect(where)
        except OSError as error:
            sock.close()
            why = error.strerror or "timed out"
            continue
        except BaseException:
            sock.close()
            raise
        return sock
    raise NotConnected(why)


def is_plainly_private(host: str) -> bool:
    """Whether that needs no name server to be known: the other hosts are looked at when they are connected to."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    literal = _literal(name)
    return literal is not None and not is_public(literal)


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's, whatever is written around it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64 or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_link_local)


def _literal(host: str) -> str | None:
    """The IP address that a host is, None for a name."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host.partition("%")[0]))
    with contextlib.suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))  # 127.1 and 0x7f000001 are addresses, too
    return None
