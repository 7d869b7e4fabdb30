"""The status page by keyboard, on a phone, in the dark, and by axe."""

from datetime import UTC, datetime

import pytest

from tests.harness.shown_session import ShownSession, ago
from tests.harness.status_page import PHONE, WIDE, StatusPage
from tests.harness.web_process import API_TOKEN
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState

# -- for everybody


def test_the_keyboard_reaches_everything(shown: ShownSession, page: StatusPage) -> None:
    shown.eventful()
    shown.waiting(1)
    shown.history()
    shown.webhooks()
    page.open(API_TOKEN)
    page.until_text("#webhooks-body", "404 Not Found")
    page.until_text("#files-body", "WhatsApp has it no more")
    page.until_text("#history-body", "As tables")
    page.until_text("#incidents-body", "Disconnected")
    page.until_text("#events-body li .type", "alert")
    wanted = (
        "[...document.querySelectorAll('a, button, input:not([type=hidden]), select, summary')]"
        ".filter((one) => one.checkVisibility({ visibilityProperty: true })).length"
    )
    count = page.page.evaluate(f"document.activeElement.blur(), {wanted}")
    page.page.evaluate(
        "window.reached = new Set(); window.unseen = [];"
        "document.addEventListener('focusin', ({ target }) => {"
        " if (target.matches('a, button, input, select, summary')) reached.add(target);"
        " if (getComputedStyle(target).outlineStyle === 'none') unseen.push(target.outerHTML) })"
    )
    for _ in range(count + 20):
        page.press("Tab")
        if page.page.evaluate("reached.size") >= count:
            break
    assert page.page.evaluate("reached.size") >= count
    assert page.page.evaluate("unseen") == []


def test_nothing_moves_when_a_state_changes(shown: ShownSession, page: StatusPage) -> None:
    shown.eventful()
    shown.history()
    shown.webhooks()
    page.open(API_TOKEN)
    page.until_text("#history-body", "As tables")
    top = "document.querySelector('#evidence').getBoundingClientRect().top"
    before = page.page.evaluate(top)
    shown.status(
        since=datetime.now(UTC), state=SessionState.SYNCING, verdict=Verdict.DEGRADED, verdict_reason="syncing"
    )
    page.until_title("Syncing")
    assert page.page.evaluate(top) == before


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_narrow_screen_needs_no_sideways_scrolling(
    shown: ShownSession, page: StatusPage, size: tuple[int, int]
) -> None:
    shown.eventful()
    shown.waiting(1)
    shown.history()
    shown.webhooks()
    page.show_as(size)
    page.open(API_TOKEN)
    page.until_text("#webhooks-body", "404 Not Found")
    page.until_text("#files-body", "WhatsApp has it no more")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(shown: ShownSession, page: StatusPage, size: tuple[int, int], scheme: str) -> None:
    shown.eventful()
    shown.waiting(1, lasts_s=300)
    shown.history()
    shown.webhooks()
    page.show_as(size, scheme)
    page.open(API_TOKEN)
    page.until("document.querySelector('#qr-image').naturalWidth > 0")
    page.until_text("#webhooks-body", "404 Not Found")
    page.until_text("#files-body", "WhatsApp has it no more")
    page.until_text("#history-body", "As tables")
    page.until_text("#incidents-body", "Disconnected")
    page.until_text("#events-body li .type", "alert")
    page.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.until("!!document.querySelector('#events-body .inside')")
    assert page.axe() == []
    shown.redis.delete(shown.names.qr)
    shown.status(heartbeat_at=ago(seconds=90), page_seen_at=ago(seconds=95), frame_seen_at=ago(seconds=95))
    page.until_title("The agent is silent")
    page.click("[data-action=logout]")
    page.until("document.querySelector('#sure').open")
    assert page.axe() == []


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_form_that_opens_it(page: StatusPage, scheme: str) -> None:
    page.show_as(PHONE, scheme)
    page.page.goto(f"{page.base}/")
    page.until("!!document.querySelector('#token')")
    assert page.axe() == []
    page.page.evaluate("document.querySelector('#token').value = 'wrong'; document.forms[0].requestSubmit()")
    page.until_text("[role=alert]", "opens nothing")
    assert page.axe() == []
    page.page.evaluate(f"document.querySelector('#token').value = {API_TOKEN!r}; document.forms[0].requestSubmit()")
    page.until("document.body?.dataset.loaded === 'yes'")
