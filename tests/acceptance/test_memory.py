"""A browser over its memory limit: the page is loaded anew, after a snapshot, and messages go on."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import QUICK
from tests.harness.service import Service
from tests.whatsapp_web.client import WhatsAppWeb

# A page that leaks as much again is far over it, so that no quiet moment is waited for.
LIMIT_MB = 250


def test_the_page_is_loaded_anew_after_a_snapshot(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    with Service(tmp_path, whatsapp.url, **QUICK, BROWSER_MEMORY_LIMIT_MB=str(LIMIT_MB)) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        ready = str(service.wait_event("ready").id)
        whatsapp.leak(LIMIT_MB * 2**20)
        reset = service.wait_event("reset", within_s=120, where=lambda data: data["cause"] == "memory")
        assert (reset.data["how"], reset.data["proven"]) == ("reload", True)
        saved = service.wait_event("session_saved", after=ready, where=lambda data: data["cause"] == "memory")
        assert saved.seq < reset.seq
        service.wait_event("ready", after=str(saved.id))
        key = whatsapp.deliver_text("with a fresh page")
        service.wait_event("message", after=ready, where=lambda data: data["key"] == key)
        assert service.events("restarted") == []  # not before the reload has had its minute
