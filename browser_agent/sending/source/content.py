"""The bytes on their way to the disk, and what they are."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from whatsapp_contract.errors import NotFound, StoreUnavailable, TooLarge

PIECE = 1 << 16


@dataclass(frozen=True)
class Fetched:
    """`mimetype` and `filename` are as the source says, or as the bytes look; never empty."""

    size: int
    mimetype: str
    filename: str


def copy(
    read: Callable[[int], bytes], out: BinaryIO, max_bytes: int, expected: int | None, deadline: float
) -> tuple[int, bytes]:
    """Everything that `read` gives; answers how much it was, and how it begins.

    `expected` is the size that was announced, `deadline` in time.monotonic(). Raises TooLarge, StoreUnavailable for
    what broke off or took too long, NotFound for nothing.
    """
    if expected is not None and expected > max_bytes:
        _too_large(max_bytes)
    size, head = 0, b""
    while piece := read(PIECE):
        size += len(piece)
        if size > max_bytes:
            _too_large(max_bytes)
        head = head or piece[:64]
        written(lambda piece=piece: out.write(piece))  # type: ignore[misc]  # a default is no type to infer a lambda from
        left_s(deadline)
    left_s(deadline)
    if expected is not None and size != expected:
        raise StoreUnavailable("the source broke off")
    if size == 0:
        raise NotFound("the source is empty")
    return size, head


def written(write: Callable[[], object]) -> None:
    """What our own disk does not take is nothing of the source's, and may pass."""
    try:
        write()
    except OSError as error:
        raise StoreUnavailable(f"the disk does not take the file: {error.strerror}") from None


def _too_large(max_bytes: int) -> NoReturn:
    raise TooLarge(f"the source is larger than {max_bytes} bytes (MEDIA_MAX_BYTES)")


def left_s(deadline: float) -> float:
    """Seconds until then. Raises StoreUnavailable where none are left."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise StoreUnavailable("the source took too long")
    return left_s


def described(size: int, head: bytes, told: str | None, name: str) -> Fetched:
    """`told` and `name` are what the source says of it; `head` is how it begins."""
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
