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
        """Answer downloads of a path with a status, the next `times` or all; None heals it."""
        self._control.call("fail_media", path=path, status=status, times=times)
