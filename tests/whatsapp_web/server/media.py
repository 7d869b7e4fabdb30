"""Photos and files: what the page uploads and downloads by path."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from tests.whatsapp_web.server.account import random_key
from tests.whatsapp_web.server.messages import Frame

OK = 200
NOT_FOUND = 404


@dataclass
class Failures:
    """The next `times` requests (all of them when None) are answered with `status`."""

    status: int | None = None
    times: int | None = 0

    def fail(self, status: int | None, times: int | None) -> None:
        """Let requests fail; `status` None heals them."""
        self.status, self.times = status, times

    def next_status(self) -> int:
        """The status of the next request; counts a failure that was asked for."""
        if self.status is None or self.times == 0:
            return OK
        if self.times is not None:
            self.times -= 1
        return self.status


@dataclass
class MediaObject:
    """Some bytes under a path."""

    data: bytes
    mimetype: str
    filename: str = ""
    downloads: Failures = field(default_factory=Failures)


class MediaStore:
    """Every media object of the account, by path."""

    def __init__(self) -> None:
        self.objects: dict[str, MediaObject] = {}
        self.uploads = Failures()

    def put(self, data: bytes, mimetype: str, filename: str = "") -> Frame:
        """Keep bytes; the answer is what a message tells of them."""
        path = f"/media/{secrets.token_hex(8)}"
        self.objects[path] = MediaObject(data, mimetype, filename)
        return {
            "directPath": path,
            "filehash": base64.b64encode(hashlib.sha256(data).digest()).decode(),
            "size": len(data),
            "mimetype": mimetype,
            "filename": filename or None,
            "mediaKey": random_key(),
        }
