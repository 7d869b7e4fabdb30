"""Calls of the control API: how the media hosts and the phone fail."""

from __future__ import annotations

from tests.whatsapp_web.server.site import Site


class MediaCalls:
    """What becomes of the requests for one path, and of uploads."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def fail_uploads(self, status: int | None, times: int | None) -> None:
        self._site.media.uploads.fail(status, times)

    def fail_media(self, path: str, status: int | None, times: int | None) -> None:
        self._site.media.objects[path].downloads.fail(status, times)

    def phone_has(self, path: str, yes: bool) -> None:
        self._site.media.objects[path].on_phone = yes

    def corrupt_media(self, path: str, yes: bool) -> None:
        self._site.media.objects[path].corrupted = yes

    def slow_media(self, path: str, bytes_per_s: float | None) -> None:
        self._site.media.objects[path].bytes_per_s = bytes_per_s
