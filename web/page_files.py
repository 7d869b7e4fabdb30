"""Style, scripts and pictures of the page, as they go over the wire: packed once, under an address that says what they
hold, so that a browser asks for each of them once."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import Request, Response

from .problems import Problem

PAGE = Path(__file__).parent / "page"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_A_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class PageFile:
    """`packed` is its content as gzip has it."""

    packed: bytes
    media_type: str
    etag: str


def answer(request: Request, path: str) -> Response:
    """The file of a path below /page/, with or without the version in front. They hold nothing secret.

    Raises Problem for what is not there, and for the address of another version: a page that is older than this
    process must not go on with half of a newer one.
    """
    first, _, rest = path.partition("/")
    is_versioned = first == version()
    file = _files().get(rest if is_versioned else path)
    if file is None:
        raise Problem(404, "not_found", "there is no such file")
    headers = {"ETag": file.etag, "Cache-Control": _FOR_A_YEAR if is_versioned else "no-cache"}
    if request.headers.get("If-None-Match") == file.etag:
        return Response(status_code=304, headers=headers)
    return packed_or_not(request, file.packed, file.media_type, headers)


def packed_or_not(request: Request, packed: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """As the browser takes it."""
    headers = {**headers, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=media_type)
    return Response(gzip.decompress(packed), headers=headers, media_type=media_type)


@cache
def version() -> str:
    """Of all files together: it changes with any of them."""
    return "v" + _digest("".join(name + file.etag for name, file in sorted(_files().items())).encode())


@cache
def _files() -> dict[str, PageFile]:
    """Those that are there, by their names: nothing else is ever looked for."""
    found = {}
    for file in PAGE.rglob("*"):
        if file.suffix in _TYPES:
            content = file.read_bytes()
            packed = gzip.compress(content, 9, mtime=0)
            found[file.relative_to(PAGE).as_posix()] = PageFile(packed, _TYPES[file.suffix], f'"{_digest(content)}"')
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
