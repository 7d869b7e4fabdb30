"""Doors: the media hosts."""

from __future__ import annotations

from urllib.parse import urlencode

from tests.whatsapp_web.doors.base import Doors, Json


class MediaDoors(Doors):
    """Bytes by path, and how the hosts fail."""

    def upload(self, data: bytes, mimetype: str, filename: str = "") -> Json:
        """Put bytes on the media host; the answer describes them as a message does."""
        query = urlencode({"mimetype": mimetype, "filename": filename})
        media: Json = self._control.post(f"/control/media?{query}", data)
        return media

    def media_bytes(self, path: str) -> bytes:
        """The bytes under a media path, such as the page uploaded."""
        return self._control.request("GET", f"/control/media-bytes?{urlencode({'path': path})}")

    def fail_uploads(self, status: int | None = 500, times: int | None = None) -> None:
        """Answer the page's uploads with a status, the next `times` or all; None heals them."""
        self._control.call("fail_uploads", status=status, times=times)

    def fail_media(self, path: str, status: int | None = 404, times: int | None = None) -> None:
        """Answer downloads of a path with a status, the next `times` or all; None heals it.

        At 404 and 410 the page asks the phone, see `gone`.
        """
        self._control.call("fail_media", path=path, status=status, times=times)

    def gone(self, path: str, status: int = 410) -> None:
        """Have the host answer every download of a path with 404 or 410, as for old media.

        The page asks the phone to upload it again, under a new path; `state()["media_retries"]` has each request:
        `key`, `path`, `new_path` (None when the phone had it no more).
        """
        self.fail_media(path, status)

    def phone_has(self, path: str, yes: bool = True) -> None:
        """Whether the phone can upload the media of a path again; it can unless told."""
        self._control.call("phone_has", path=path, yes=yes)

    def corrupt_media(self, path: str, yes: bool = True) -> None:
        """Serve as many other bytes under a path."""
        self._control.call("corrupt_media", path=path, yes=yes)

    def slow_media(self, path: str, bytes_per_s: float | None) -> None:
        """Serve a path at so many bytes a second; None ends that."""
        self._control.call("slow_media", path=path, bytes_per_s=bytes_per_s)
