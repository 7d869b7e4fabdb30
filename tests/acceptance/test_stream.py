"""The stream's length, as the whole service keeps it."""

from pathlib import Path

from tests.acceptance.conftest import QUICK
from tests.harness.service import SESSION, Service
from tests.harness.stream import add_event
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.names import SessionNames

NAMES = SessionNames(SESSION)


def test_a_stream_that_nobody_reads_is_cut_and_the_alert_says_what_was_lost(
    whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    with Service(tmp_path, whatsapp.url, EVENTS_MAXLEN="50", **QUICK) as service:
        service.wait_event("qr")
        for event in service.client.follow("0", group="read", consumer="a", types={"qr"}):
            assert event.type == "qr"
            break
        service.redis.xgroup_create(NAMES.events, "unread", "0")
        for n in range(60):
            add_event(service.redis, NAMES, str(n))
        told = service.wait_event("alert", where=lambda data: data["code"] == "events_lost")
        assert "(seq 1) to " in told.data["message"]
        assert "unread" in told.data["message"]
        wait_until(lambda: int(service.redis.xlen(NAMES.events)) <= 50, 60, "the stream is short")
