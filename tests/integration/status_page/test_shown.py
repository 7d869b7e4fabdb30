"""What the status page shows, as it changes."""

from datetime import UTC, datetime, timedelta

from tests.harness.shown_session import SECRET_NAME, SECRET_TEXT, ShownSession, ago
from tests.harness.status_page import StatusPage
from tests.harness.web_process import API_TOKEN, VIEW_TOKEN, WebProcess
from tests.whatsapp_web.browser import Browser
from whatsapp_contract.events import QrData, ResetData
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState

# -- the state


def test_while_a_code_for_a_number_may_be_typed_in_it_is_said_why_there_is_no_other(
    shown: ShownSession, page: StatusPage
) -> None:
    shown.status(
        state=SessionState.AWAITING_SCAN,
        reason="pairing_code",
        verdict=Verdict.WAITING_FOR_PERSON,
        authenticated=False,
    )
    page.open(API_TOKEN)
    page.until_text("#qr-none", "number was given")


def test_the_state_is_told_in_words_with_since_when_and_why(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    page.open(API_TOKEN)
    assert page.text("#state-title") == "Ready"
    assert "Messages flow" in page.text("#state-why")
    assert "for 3 h 12 min" in page.text("#state-since")
    assert page.page.evaluate("document.title") == "Ready · s1"
    page.until_text("#live", "Live")
    since = ago(minutes=2)
    shown.status(
        state=SessionState.CONFLICT, since=since, verdict=Verdict.WAITING_FOR_PERSON, verdict_reason="conflict"
    )
    page.until_title("Open in another place")
    assert "has taken over" in page.text("#state-why")
    assert "Close it there, then reset" in page.text("#state-todo")
    assert page.page.evaluate("document.querySelector('#state').dataset.level") == "person"
    shown.status(operation="restart_browser")
    page.until_text("#state-operation", "Under way: restart browser.")
    shown.status()
    page.until("document.querySelector('#state-operation').hidden")


def test_the_state_is_in_the_first_answer(shown: ShownSession, page: StatusPage) -> None:
    """Nothing more has to be asked for it, and no text of a status can end the script that it is in."""
    shown.status(
        state=SessionState.BLOCKED, verdict=Verdict.BLOCKED, verdict_reason="</script><b id=x>", reason="</script>"
    )
    page.open(API_TOKEN)
    marks = "performance.getEntriesByName('first state')[0].startTime"
    asked = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/'))"
    assert page.page.evaluate(f"{marks} <= Math.min(...{asked}.map(({{ responseEnd }}) => responseEnd || Infinity))")
    assert page.text("#state-title") == "Blocked by WhatsApp"
    assert page.page.evaluate("document.querySelector('#x')") is None


def test_a_phone_with_a_wrong_clock_shows_right_ages(shown: ShownSession, chromium: Browser, page: StatusPage) -> None:
    three_hours_ahead = "{ const now = Date.now; Date.now = () => now() + 3 * 3600e3; }"
    page.page.devtools.call("Page.addScriptToEvaluateOnNewDocument", source=three_hours_ahead)
    page.page.devtools.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + 3 * 3600e3 })",
    )
    shown.status(since=ago(minutes=5, seconds=20))
    page.open(API_TOKEN)
    assert "for 5 min" in page.text("#state-since")
    assert page.text("#evidence-rows tr:first-child td:nth-child(2)").split()[-1] in ("now", "ago")
    assert page.page.evaluate("document.querySelector('#evidence-rows tr').dataset.level") in ("good", "warn")


def test_evidence_grows_old_while_the_agent_is_down_and_the_page_says_so(
    shown: ShownSession, page: StatusPage
) -> None:
    old = {"browser_seen_at": ago(seconds=25), "page_seen_at": ago(seconds=25), "frame_seen_at": ago(seconds=300)}
    shown.status(**old)
    page.open(API_TOKEN)
    row = "document.querySelector('#evidence-rows tr')"
    level = f"{row}.dataset.level"
    # Noted as it changes: a test on a slow machine may look too late to see it amber.
    page.page.evaluate(
        f"window.noted = []; new MutationObserver(() =>"
        f" noted.push(`${{{level}}}: ${{{row}.lastChild.textContent.trim()}}`))"
        f".observe({row}, {{ attributeFilter: ['data-level'] }})"
    )
    shown.status(heartbeat_at=ago(seconds=8), **old)  # amber after 12 s, red after 20
    page.until(f"{level} === 'bad'")  # by the clock alone: nothing comes
    assert [one for one in page.page.evaluate("noted") if not one.startswith("good")] == ["warn: late", "bad: too old"]
    page.until_title("The agent is silent")
    assert "Before that it was “Ready”" in page.text("#state-why")
    assert page.text("#evidence-rows tr:nth-child(4) td:last-child").strip() == "too old"
    shown.status(epoch=4, since=datetime.now(UTC))
    page.until_title("Ready")
    page.until(f"{level} === 'good'")


def test_no_agent_has_ever_spoken(shown: ShownSession, page: StatusPage) -> None:
    page.open(API_TOKEN)
    assert page.text("#state-title") == "No agent has spoken yet"
    shown.status()
    page.until_title("Ready")


# -- linking a phone


def test_the_code_is_large_counts_down_and_follows_its_successor(shown: ShownSession, page: StatusPage) -> None:
    shown.waiting(1, lasts_s=60)
    page.open(API_TOKEN)
    image = "document.querySelector('#qr-image')"
    page.until(f"{image}.naturalWidth > 0")
    assert page.page.evaluate(f"{image}.getBoundingClientRect().width") >= 360
    first = page.page.evaluate(f"{image}.src")
    page.until_text("#qr-left", "Good for")
    left = page.text("#qr-left")
    page.until(f"/Good for \\d+ s/.test({left!r}) && document.querySelector('#qr-left').innerText !== {left!r}")
    shown.waiting(2, lasts_s=10)
    page.until(f"{image}.naturalWidth > 0 && {image}.src !== {first!r}")
    page.until_text("#qr-none", "The next code is on its way.")  # the second has run out, and none came
    shown.scanned()
    page.until_title("Ready")
    page.until("document.querySelector('#link').hidden")


def test_a_pairing_code_is_shown_with_its_expiry(shown: ShownSession, page: StatusPage) -> None:
    shown.waiting(1)
    page.answer_instead(
        "/api/commands/pairing_code",
        {"code": "ABCD-EFGH", "expires_at": (datetime.now(UTC) + timedelta(seconds=150)).isoformat()},
    )
    page.open(API_TOKEN)
    page.page.evaluate("document.querySelector('#phone').value = 'not a number'")
    page.click("#pairing-ask")
    page.until_text("#phone-said", "7 to 15 digits")
    assert page.focused() == "phone"
    page.page.evaluate("document.querySelector('#phone').value = '+39 333 111-2233'")
    page.click("#pairing-ask")
    page.until_text("#pairing-code", "ABCD-EFGH")
    assert "A B C D E F G H" in page.page.evaluate("document.querySelector('#pairing-code').textContent")
    page.until_text("#pairing-left", "Good for 2 min")


def test_a_refusal_of_a_pairing_code_is_told_beside_the_number(shown: ShownSession, page: StatusPage) -> None:
    shown.waiting(1)
    refused = {"code": "refused", "detail": "WhatsApp gave too many codes for this number", "retryable": False}
    page.answer_instead("/api/commands/pairing_code", refused, 409)
    page.open(API_TOKEN)
    page.page.evaluate("document.querySelector('#phone').value = '393331112233'")
    page.click("#pairing-ask")
    page.until_text("#phone-said", "too many codes")


# -- the panels


def test_everything_that_is_known_is_shown(shown: ShownSession, page: StatusPage) -> None:
    shown.eventful()
    shown.history()
    shown.webhooks()
    page.open(API_TOKEN)
    page.until_text("#incidents-body", "cured: page loaded anew after 37 s")
    assert page.text("#incidents-count") == "5 in 24 h"
    page.click("#incidents-body details summary")
    page.until_text(
        "#incidents-body .inside", "new connection, for disconnected: link_silent; failed with reset_unproven"
    )
    page.until_text("#queues-body", "photos")
    page.until_text("#files-body", "WhatsApp has it no more")
    page.until_text("#webhooks-body", "backend.example.org")
    page.until_text("#webhooks-body", "404 Not Found")
    page.until_text("#history-body", "not well in 12 min")
    page.until_text("#snapshots-body", "Saved 3 min ago")
    page.until_text("#about", "Chrome/141")


def test_a_session_that_is_not_there_needs_no_snapshot(shown: ShownSession, page: StatusPage) -> None:
    none = {"session_generation": None, "session_saved_at": None, "session_verified_at": None}
    shown.status(**none)
    page.open(API_TOKEN)
    page.until_text("#snapshots-body", "Not saved yet")
    shown.status(state=SessionState.LOGGED_OUT, **none)
    page.until_text("#snapshots-body", "No phone is linked: there is nothing to save")


def test_the_history_can_be_read_by_slider_and_table(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    shown.history()
    shown.webhooks()
    page.open(API_TOKEN)
    page.until_text("#history-read", " to ")
    page.page.evaluate("document.querySelector('#history-slider').focus()")
    # The slow check was in the last five minutes, or in those before: they may be over by now.
    for words in ("slowest 90 ms", "slowest 9 ms"):
        for _ in range(20):
            read = page.text("#history-read")
            if words in read:
                break
            page.press("ArrowLeft")
            page.until(f"document.querySelector('#history-read').innerText !== {read!r}")
        assert words in read
    assert page.page.evaluate(
        "document.querySelector('#history-slider').ariaValueText"
        " === document.querySelector('#history-read').innerText.trim()"
    )
    page.click("#history-body summary")
    hours = "[...document.querySelectorAll('#history-body tbody:last-child tr')].map((row) => row.innerText)"
    assert any("Disconnected" in row for row in page.page.evaluate(hours))
    heights = "new Set([...document.querySelectorAll('.strip rect[data-level]')].map((r) => r.getAttribute('height')))"
    assert page.page.evaluate(f"{heights}.size") == 3, "healthy, not well and not checked differ without colour"


def test_a_service_without_history_and_webhooks_says_so(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    page.open(API_TOKEN)
    page.until_text("#history-body", "Nothing was checked")
    assert page.page.evaluate("document.querySelector('#webhooks').hidden")


def test_events_come_are_filtered_and_show_nothing_personal_unless_opened(
    shown: ShownSession, page: StatusPage
) -> None:
    shown.eventful()
    page.open(API_TOKEN)
    page.until_text("#events-body li .type", "alert")
    everything = "document.documentElement.outerHTML"
    assert SECRET_TEXT not in page.page.evaluate(everything)
    assert SECRET_NAME not in page.page.evaluate(everything)
    came = shown.message(77)
    row = f'[data-key="{came}"]'
    page.until(f"!!document.querySelector('{row}')")
    page.click(f"{row} summary")
    page.until_text(row, SECRET_TEXT)
    later = shown.event("reset", ResetData(how="takeover", cause="by hand", proven=True, took_ms=5.0))
    page.until_text("#events-body .tools", "Show 1 new event")  # who reads one is not disturbed
    assert page.page.evaluate(f"document.querySelector('[data-key=\"{later}\"]')") is None
    page.click("#events-body .tools button")
    page.until(f"!!document.querySelector('[data-key=\"{later}\"]')")
    page.click(f"{row} summary")
    page.until(f"!document.querySelector('{row} .inside')")
    page.page.evaluate(
        "Object.assign(document.querySelector('#event-kind'), { value: 'reset' }).dispatchEvent(new Event('change'))"
    )
    kinds = "[...new Set([...document.querySelectorAll('#events-body .type')].map((one) => one.innerText))].join()"
    page.until(f"{kinds} === 'reset'")
    words = "Object.assign(document.querySelector('#event-words'), { value: 'takeover' })"
    page.page.evaluate(f"{words}.dispatchEvent(new Event('input'))")
    page.until("document.querySelectorAll('#events-body li').length === 1")


def test_the_payload_of_a_code_is_on_no_page_and_told_to_no_viewer(
    web: WebProcess, shown: ShownSession, page: StatusPage
) -> None:
    shown.waiting(1)
    told = shown.event("qr", QrData(payload="2@secret", sequence=1, expires_at=datetime.now(UTC)))
    for token, is_told in ((API_TOKEN, True), (VIEW_TOKEN, False)):
        for path in ("/api/events", f"/api/events/stream?after={int(told.partition('-')[0]) - 1}-0"):
            assert ("2@secret" in web.read(path, token, until='"type"')) == is_told
    page.open(API_TOKEN)
    page.click(f'[data-key="{told}"] summary')
    page.until_text(f'[data-key="{told}"]', "(not shown)")
    assert "2@secret" not in page.page.evaluate("document.documentElement.outerHTML")
