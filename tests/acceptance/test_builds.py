"""The whole service on other builds of the site than the usual one, and with a browser that will not stay."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.harness.service import AROUND, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

BUILDS: dict[str, dict[str, Any]] = {
    "old names": {"vocabulary": "legacy"},
    "minified keys, authors by lid alone": {"minified_keys": True, "author_lid": True, "lid_mapping": False},
    "modules that come one by one": {"drip_ms": 100, "boot_ms": 500},
}


@pytest.mark.parametrize("build", BUILDS)
def test_scanned_ready_told_reset_and_logged_out_on(build: str, tmp_path: Path) -> None:
    with (
        WhatsAppWeb(keepalive_s=2, **BUILDS[build]) as whatsapp,
        Service(tmp_path, whatsapp.url, without=AROUND) as service,
    ):
        whatsapp.scan(service.wait_event("qr").data["payload"])
        ready = str(service.wait_event("ready").id)
        key = whatsapp.deliver_text("hello")
        told = service.wait_event("message", where=lambda data: data["key"] == key)
        assert told.data["text"] == "hello"
        author = told.data["author"]
        assert (author["phone"] is None) is ("lid" in build)
        assert author["lid"] or author["phone"]
        assert service.client.call("reset", {"cause": "the test"}).model_dump()["proven"]
        service.wait_event("ready", after=ready)
        service.client.call("logout", {"cause": "the test"})
        service.wait_state("logged_out", after=ready)
        service.wait_event("qr", after=ready)


def test_past_the_start_budget_there_is_no_browser_but_an_answer_and_an_alert(tmp_path: Path) -> None:
    with (
        WhatsAppWeb() as whatsapp,
        Service(tmp_path, whatsapp.url, START_BUDGET="2", HEALTH_CHECK_CRON="*/2 * * * * *") as service,
    ):
        service.wait_event("qr")
        killed: set[int | None] = {None}
        for _ in range(2):
            wait_until(lambda: service.status().browser_pid not in killed, 60, "a new browser runs")
            browser = service.status().browser_pid
            assert browser
            killed.add(browser)
            os.kill(browser, signal.SIGKILL)
        told = service.wait_event("alert")
        assert told.data["code"] == "start_budget_spent"
        assert service.client.ping().held_until is not None
        check = service.client.check()
        assert (check.verdict, check.reason) == ("waiting_for_person", "start_budget_spent")
        wait_until(lambda: service.browser_processes() == [], 20, "what the killed one has started is gone")
        pids = service.pids()
        before = service.last_event_id()
        service.client.call("restart_browser", {"cause": "a person"})
        service.wait_event("qr", after=before)
        assert service.pids()["browser-agent"] == pids["browser-agent"]
