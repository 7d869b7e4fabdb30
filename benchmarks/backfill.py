"""What was missed while the agent was away: from ready to the last event, for 1,000 messages of three groups."""

import os
import signal
from pathlib import Path

from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import FAMILY

from . import bare
from .report import Figure, median_worst

MISSED, TIMES = 1000, 5
GROUPS = (FAMILY.id, "120363000000000002@g.us", "120363000000000003@g.us")


def run(folder: Path) -> list[Figure]:
    with (
        WhatsAppWeb(keepalive_s=5, loaded_per_chat=50) as whatsapp,
        Service(folder, whatsapp.url, START_BUDGET="1000") as service,
    ):
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        took = [_missed_s(service, whatsapp) for _ in range(TIMES)]
        floor = MISSED / bare.xadds_per_s(f"redis://127.0.0.1:{service.redis_port}/0", MISSED)
    return [
        Figure(
            f"backfill of {MISSED:,} missed messages, from ready", median_worst(took), f"{floor:.2f} s Redis", "5 s"
        )
    ]


def _missed_s(service: Service, whatsapp: WhatsAppWeb) -> float:
    """The page has them all, and most of them only on the disk; none was told."""
    wait_until(lambda: service.program("browser-agent").name == "RUNNING", 20, "it counts as started")
    agent = service.pids()["browser-agent"]
    os.kill(agent, signal.SIGSTOP)
    keys = set(whatsapp.deliver_many(MISSED, chats=GROUPS))
    wait_until(lambda: all(m["acked"] for m in whatsapp.model() if m["key"] in keys), 30, "the page has them")
    before = service.last_event_id()
    os.kill(agent, signal.SIGKILL)
    ready = service.wait_event("ready", after=before, within_s=60)
    wait_until(lambda: len(service.events("message", after=before)) >= MISSED, 60, "all are told")
    told = service.events("message", after=before)
    assert {event.data["key"] for event in told} == keys
    assert {event.data["source"] for event in told} == {"backfill"}
    return (told[-1].observed_at - ready.observed_at).total_seconds()
