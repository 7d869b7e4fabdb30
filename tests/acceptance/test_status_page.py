"""The status page beside the whole service: a person follows, and steers, the session by it."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.service import Service
from tests.harness.status_page import StatusPage
from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Browser
from tests.whatsapp_web.client import WhatsAppWeb


@pytest.fixture(scope="module")
def service(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Not scanned yet."""
    with Service(tmp_path_factory.mktemp("service"), whatsapp.url, **QUICK) as service:
        yield service


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, service: Service) -> Iterator[StatusPage]:
    """Open, and nobody complains of it."""
    page = StatusPage(chromium.new_page(StatusPage.at_start, isolated=True), f"http://127.0.0.1:{service.port}")
    wait_until(service.pids, 90, "supervisord listens", every_s=0.1)
    wait_until(lambda: service.program("web").name == "RUNNING", 90, "the web process runs", every_s=0.1)
    wait_until(page.answers, 90, "the web process answers", every_s=0.1)
    page.open(service.environ["API_TOKEN"])
    yield page
    assert page.complaints() == []
    assert page.strangers() == []
    chromium.clear()


@pytest.fixture
def ready(service: Service, whatsapp: WhatsAppWeb) -> None:
    """Whatever the test before has left."""
    wait_until(service.client.status, 90, "an agent speaks", every_s=0.1)
    if service.status().authenticated is not True:
        whatsapp.scan(whatsapp.code_on_show(50))
    wait_until(lambda: service.status().verdict == "healthy", 90, "healthy", every_s=0.1)


def test_a_code_is_scanned_and_the_page_turns_to_ready_by_itself(
    service: Service, whatsapp: WhatsAppWeb, page: StatusPage
) -> None:
    service.wait_event("qr", within_s=90)
    page.until_title("Waiting for a scan")
    page.until("document.querySelector('#qr-image').naturalWidth > 0")
    page.until_text("#qr-left", "Good for")
    page.page.evaluate("window.isTheSame = true")
    whatsapp.scan(whatsapp.code_on_show(50))
    page.until_title("Ready")
    page.until("document.querySelector('#link').hidden")
    key = whatsapp.deliver_text("nobody else is to read this")
    service.wait_event("message", where=lambda data: data["key"] == key)
    page.until_text("#events-body", "text, in a group")
    assert "nobody else" not in page.page.evaluate("document.documentElement.outerHTML")
    assert page.page.evaluate("window.isTheSame"), "it was not loaded anew"


@pytest.mark.usefixtures("ready")
def test_check_reset_and_backup_by_their_buttons(service: Service, page: StatusPage) -> None:
    page.until_title("Ready")
    before = service.last_event_id()
    page.click("[data-action=check]")
    page.until_text("#action-said", "Healthy.")
    page.click("[data-action=reset]")
    page.until_text("#action-said", "The connection was reset")
    assert service.wait_event("reset", after=before).data["cause"] == "status page"
    page.until_title("Ready")
    page.click("[data-action=backup]")
    page.until_text("#action-said", ", ")
    page.until("/^(Saved|Nothing had changed)/.test(document.querySelector('#action-said').textContent)")
    page.click("#snapshots-body button")
    page.until("document.querySelectorAll('#snapshots-body tbody tr').length > 0")
    page.click("#snapshots-body tbody button")
    page.until_text("#snapshots-body", "Whole: ")


@pytest.mark.usefixtures("ready")
def test_an_agent_that_is_silent_is_told_and_restarted_by_the_button(service: Service, page: StatusPage) -> None:
    page.until_title("Ready")
    service.control.stop("worker")  # the watchdog would be first
    agent = service.pids()["browser-agent"]
    epoch = service.status().epoch
    os.kill(agent, signal.SIGSTOP)
    try:
        page.until_title("The agent is silent")
        page.click("[data-action=restart_agent]")
        page.until_text("#action-said", "The worker was asked")
    finally:
        service.control.start("worker")
    page.until_text("#action-said", "A new agent runs", within_s=80)
    page.until_title("Ready")
    assert service.status().epoch > epoch


@pytest.mark.usefixtures("ready")
def test_logging_out_asks_first_and_leads_back_to_a_code(service: Service, page: StatusPage) -> None:
    page.until_title("Ready")
    page.click("[data-action=logout]")
    page.until("document.querySelector('#sure').open")
    assert service.status().authenticated is True
    page.click("#sure-yes")
    page.until_text("#action-said", "Logged out.")
    page.until_title("Waiting for a scan")
    page.until("document.querySelector('#qr-image').naturalWidth > 0")
