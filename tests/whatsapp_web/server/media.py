"""Photos and files: what the page uploads and downloads by path."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.whatsapp_web.server.account import random_key
from tests.whatsapp_web.server.messages import Frame

OK = 200
NOT_FOUND = 404
SLOW_STEP_S = 0.05


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
    corrupted: bool = False
    bytes_per_s: float | None = None
    # whether the phone could upload it once more
    on_phone: bool = True

    async def served(self) -> AsyncIterator[bytes]:
        """What the host serves: the bytes, or as many wrong ones, all at once or slowly."""
        data = bytes(byte ^ 0xFF for byte in self.data) if self.corrupted else self.data
        if self.bytes_per_s is None:
            yield data
            return
        step = max(1, int(self.bytes_per_s * SLOW_STEP_S))
        for start in range(0, len(data), step):
            await asyncio.sleep(SLOW_STEP_S)
            yield data[start : start + step]


class MediaStore:
    """Every media object of the account, by path."""

    def __init__(self) -> None:
        self.objects: dict[str, MediaObject] = {}
        self.uploads = Failures()
        # every request of a page that the phone upload something once more
        self.retries: list[Frame] = []

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

    def upload_again(self, key: str, path: str) -> str | None:
        """A page misses the media of a message: the new path of it, if the phone still has it."""
        media = self.objects.get(path)
        again = None
        if media is not None and media.on_phone:
            again = str(self.put(media.data, media.mimetype, media.filename)["directPath"])
        self.retries.append({"key": key, "path": path, "new_path": again})
        return again
