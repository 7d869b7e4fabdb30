"""A file that is to be sent, brought to the disk from where the backend says it is.

Whoever may give commands must not come through here to what only this machine can reach: its files, its network, the
session's archives. Hence: only https, unless the host is named in SEND_PRIVATE_HOSTS; no address that is not public,
unless it is; the name is resolved once and that address connected to, again for each redirect; of S3 only the media;
of the disk only two folders, links followed first. Everything here is plain and blocking: it runs in a process of its
own.
"""

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from pydantic import BaseModel, ConfigDict

from whatsapp_contract.errors import NotFound, Refused, StoreUnavailable, TooLarge
from whatsapp_contract.settings import Settings

REDIRECTS_AT_MOST = 5
STEP_WITHIN_S = 15.0  # one connection, or one answer of the server's
PIECE = 1 << 16
DEFAULT_BUCKET = "shula-whatsapp-sessions"
SESSION_BUCKET_PREFIX = "media/"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Rules(BaseModel):
    """Where files may come from, and how large they may be. Without secrets: those are in the environment."""

    model_config = ConfigDict(frozen=True)

    private_hosts: frozenset[str]
    buckets: dict[str, str]  # with what a key in each has to begin
    folders: tuple[Path, ...]  # the first is where a path without a folder lies
    max_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Rules":
        session_bucket = settings.bucket_name or DEFAULT_BUCKET
        buckets = {session_bucket: SESSION_BUCKET_PREFIX}
        if settings.media_bucket is not None:
            buckets.setdefault(settings.media_bucket, "")
        data_dir = settings.data_dir.absolute()
        return cls(
            private_hosts=frozenset(host.lower() for host in settings.send_private_hosts),
            buckets=buckets,
            folders=(data_dir / "outgoing", data_dir / "store" / "media"),
            max_bytes=settings.media_max_bytes,
        )


@dataclass(frozen=True)
class Fetched:
    """`mimetype` and `filename` are as the source says, or as the bytes look; never empty."""

    size: int
    mimetype: str
    filename: str


class NoSuchHost(NotFound):
    """A name server says that the host's name does not exist. Names come and go, but not for long."""


def check(source: str, rules: Rules) -> None:
    """What can be said of a source without having it: it may come to be there later. Raises Refused."""
    parts = _split(source)
    match parts.scheme:
        case "http" | "https":
            _check_address(parts, rules)
            _target(parts)
        case "s3":
            _s3_place(parts, rules)
        case "file" | "":
            path = rules.folders[0] / _path_in(source, parts)
            if not _is_inside(Path(os.path.realpath(path)), rules):
                raise Refused(_OUTSIDE)
        case _:
            raise Refused("a source is https://, s3://bucket/key, or a file below DATA_DIR/outgoing")


def fetch(
    source: str, target: Path, rules: Rules, within_s: float, open_s3: "Callable[[], S3] | None" = None
) -> Fetched:
    """Bring it to `target`. Raises Refused, NotFound or TooLarge, and StoreUnavailable for what may pass by itself."""
    parts = _split(source)
    deadline = time.monotonic() + within_s
    with _our_file(target) as out:
        match parts.scheme:
            case "http" | "https":
                return _fetch_http(source, out, rules, deadline)
            case "s3":
                return _fetch_s3(parts, out, rules, deadline, open_s3 or _s3_from_environment)
            case "file" | "":
                return _fetch_file(source, parts, out, rules, deadline)
            case _:
                check(source, rules)
                raise AssertionError("unreachable")


@contextlib.contextmanager
def _our_file(target: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    out = os.fdopen(descriptor, "wb")
    try:
        yield out
        _written(out.flush)
    finally:
        with contextlib.suppress(OSError):  # what could not be written is told already
            out.close()


def _written(write: Callable[[], object]) -> None:
    """What our own disk does not take is nothing of the source's, and may pass."""
    try:
        write()
    except OSError as error:
        raise StoreUnavailable(f"the disk does not take the file: {error.strerror}") from None


# -- https -----------------------------------------------------------------------------------------------------------


def _fetch_http(url: str, out: BinaryIO, rules: Rules, deadline: float) -> Fetched:
    for _ in range(1 + REDIRECTS_AT_MOST):
        parts = _split(url)
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
            size, head = _copy(answer.read1, out, rules.max_bytes, expected, deadline)
            return _described(size, head, answer.headers.get_content_type(), _name_in(answer.headers, parts))
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
    cut = threading.Timer(_left_s(deadline), _shut, [twin])
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
        sock.settimeout(min(STEP_WITHIN_S, _left_s(deadline)))
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


# -- S3 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3:
    """boto3's client, and what it raises."""

    client: "object"
    refused: type[Exception]
    away: type[Exception]


def _s3_place(parts: SplitResult, rules: Rules) -> tuple[str, str]:
    bucket, key = parts.netloc, unquote(parts.path.removeprefix("/"))
    prefix = rules.buckets.get(bucket)
    # Some servers resolve `..`; none of our own keys has such a part.
    is_plain = key and not any(part in ("", ".", "..") for part in key.split("/")) and "\\" not in key
    if prefix is None or not is_plain or not key.startswith(prefix):
        raise Refused("of S3 only the media bucket may be sent from, and of the sessions' bucket only what is media")
    return bucket, key


def _fetch_s3(parts: SplitResult, out: BinaryIO, rules: Rules, deadline: float, open_s3: Callable[[], S3]) -> Fetched:
    bucket, key = _s3_place(parts, rules)
    s3 = open_s3()
    try:
        answer = s3.client.get_object(Bucket=bucket, Key=key)  # type: ignore[attr-defined]  # boto3 makes it
        with contextlib.closing(answer["Body"]) as body:
            size, head = _copy(body.read, out, rules.max_bytes, answer["ContentLength"], deadline)
    except s3.refused as error:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if code in ("NoSuchKey", "404"):
            raise NotFound("there is no such object") from None
        if code in ("AccessDenied", "403", "NoSuchBucket"):
            raise Refused(f"S3 answers {code}") from None
        raise StoreUnavailable(f"S3 answers {code or 'oddly'}") from None
    except s3.away as error:
        raise StoreUnavailable(f"S3 does not answer: {type(error).__name__}") from None
    except ValueError:  # also urllib3's LocationError
        raise Refused("S3 cannot be asked for this") from None
    return _described(size, head, answer.get("ContentType"), key.rsplit("/", 1)[-1])


def _s3_from_environment() -> S3:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    settings = Settings.from_env(os.environ)
    access_key, secret_key = settings.bucket_access_key, settings.bucket_secret_key
    client = boto3.session.Session().client(
        "s3",
        region_name=settings.aws_region,
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=access_key.get_secret_value() if access_key else None,
        aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
        config=Config(connect_timeout=5, read_timeout=STEP_WITHIN_S, retries={"max_attempts": 2, "mode": "standard"}),
    )
    return S3(client, ClientError, BotoCoreError)


# -- the disk --------------------------------------------------------------------------------------------------------


def _fetch_file(source: str, parts: SplitResult, out: BinaryIO, rules: Rules, deadline: float) -> Fetched:
    path = _path_in(source, parts)
    with _opened(rules.folders[0] / path, rules) as file:
        expected = os.fstat(file.fileno()).st_size
        size, head = _copy(file.read, out, rules.max_bytes, expected, deadline)
    return _described(size, head, None, Path(path).name)


def _path_in(source: str, parts: SplitResult) -> str:
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise Refused("a file is one of this machine's")
    path = unquote(parts.path) if parts.scheme == "file" else source
    if "\0" in path:
        raise Refused("no file has such a name")
    return path


_OUTSIDE = "of files only those below DATA_DIR/outgoing and DATA_DIR/store/media may be sent"


@contextlib.contextmanager
def _opened(path: Path, rules: Rules) -> Iterator[BinaryIO]:
    """The file behind all links, where that is in one of the folders. What was opened is looked at, not its name."""
    try:
        resolved = Path(os.path.realpath(path))
        if not _is_inside(resolved, rules):
            raise Refused(_OUTSIDE)
        # Not blocking: a pipe would let us wait for ever.
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("there is no such file") from None
    except OSError as error:
        raise Refused(f"the file cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("that is no file")
    with os.fdopen(descriptor, "rb") as file:
        if not _is_inside(Path(os.path.realpath(f"/proc/self/fd/{descriptor}")), rules):
            raise Refused(_OUTSIDE)
        yield file


def _is_inside(path: Path, rules: Rules) -> bool:
    return any(path.is_relative_to(os.path.realpath(folder)) for folder in rules.folders)


# -- what all have ---------------------------------------------------------------------------------------------------


def _split(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError:
        raise Refused("the source's address cannot be read") from None


def _copy(
    read: Callable[[int], bytes], out: BinaryIO, max_bytes: int, expected: int | None, deadline: float
) -> tuple[int, bytes]:
    """How much it was, and how it begins."""
    if expected is not None and expected > max_bytes:
        _too_large(max_bytes)
    size, head = 0, b""
    while piece := read(PIECE):
        size += len(piece)
        if size > max_bytes:
            _too_large(max_bytes)
        head = head or piece[:64]
        _written(lambda piece=piece: out.write(piece))  # type: ignore[misc]  # a default is no type to infer a lambda from
        _left_s(deadline)
    _left_s(deadline)
    if expected is not None and size != expected:
        raise StoreUnavailable("the source broke off")
    if size == 0:
        raise NotFound("the source is empty")
    return size, head


def _too_large(max_bytes: int) -> NoReturn:
    raise TooLarge(f"the source is larger than {max_bytes} bytes (MEDIA_MAX_BYTES)")


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise StoreUnavailable("the source took too long")
    return left_s


def _described(size: int, head: bytes, told: str | None, name: str) -> Fetched:
    import mimetypes

    mimetype = (told or "").partition(";")[0].strip().lower()
    if mimetype in ("", "application/octet-stream", "binary/octet-stream", "text/plain"):
        mimetype = _looks_like(head) or mimetypes.guess_type(name)[0] or mimetype or "application/octet-stream"
    name = (
        "".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable())[-200:].strip(". ") or "file"
    )
    if "." not in name:
        name += mimetypes.guess_extension(mimetype) or ""
    return Fetched(size, mimetype, name)


def _looks_like(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for start, kind in _BEGINNINGS if head.startswith(start)), None)


_BEGINNINGS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)


def _shut(sock: socket.socket) -> None:
    """End a connection, whoever reads it, and however it is wrapped."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
