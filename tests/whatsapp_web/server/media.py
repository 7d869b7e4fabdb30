"""Photos and files: what the page uploads and downloads by path."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

from tests.whatsapp_web.server.account import random_key
from tests.whatsapp_web.server.messages import Frame

OK = 200
NOT_FOUND = 404


@dataclass
class MediaObject:
    """Some bytes under a path."""

    data: bytes
    mimetype: str
    filename: str = ""
    # The next `failures` downloads (all of them when None) are answered with `failure_status`.
    failure_status: int | None = None
    failures: int | None = 0

    def next_status(self) -> int:
        """The status of the next download; counts a failure that was asked for."""
        if self.failure_status is None or self.failures == 0:
            return OK
        if self.failures is not None:
            self.failures -= 1
        return self.failure_status


class MediaStore:
    """Every media object of the account, by path."""

    def __init__(self) -> None:
        self.objects: dict[str, MediaObject] = {}

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

    def fail(self, path: str, status: int | None, times: int | None) -> None:
        """Let downloads of a path fail; `status` None heals it."""
        media = self.objects[path]
        media.failure_status, media.failures = status, times
