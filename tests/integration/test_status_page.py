"""The status page in a real Chromium, on the real web process and a real Redis: what it shows, and to whom; what it
does while something is away; whether everybody can use it."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.npm_packages import NotInstalled
from tests.harness.redis_server import RedisServer
from tests.harness.shown_session import SECRET_NAME, SECRET_TEXT, ShownSession, ago
from tests.harness.status_page import PHONE, WIDE, StatusPage, install_axe
from tests.harness.waiting import wait_until
from tests.harness.watched import Agent
from tests.harness.web_process import API_TOKEN, VIEW_TOKEN, WebProcess
from tests.whatsapp_web.browser import Browser
from whatsapp_contract.events import QrData, ResetData
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def web(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    with WebProcess(server, tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def shown(server: RedisServer) -> Iterator[ShownSession]:
    with server.client() as client:
        session = ShownSession(client)
        session.empty()
        yield session


@pytest.fixture
def page(chromium: Browser, web: WebProcess) -> Iterator[StatusPage]:
    """A tab of its own; neither Chromium nor a policy has anything to complain of, and nobody else was asked."""
    page = StatusPage(chromium.new_page(StatusPage.at_start, isolated=True), web.url)
    yield page
    assert page.complaints() == []
    assert page.strangers() == []
    chromium.clear()


@pytest.fixture(scope="module")
def axe() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("THE PAGE WAS NOT CHECKED BY AXE: npm is missing (Debian: apt install npm)")
    try:
        install_axe(npm)
    except NotInstalled as error:
        pytest.skip(f"THE PAGE WAS NOT CHECKED BY AXE: {error}")


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
    shown.status(heartbeat_at=ago(seconds=16), **old)
    page.open(API_TOKEN)
    level = "document.querySelector('#evidence-rows tr').dataset.level"
    page.until(f"{level} === 'warn'")
    assert page.text("#evidence-rows tr:first-child td:last-child").strip() == "late"
    page.until(f"{level} === 'bad'")  # by the clock alone: nothing comes
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


# -- what may be away


def test_redis_away_is_told_and_the_page_recovers_by_itself(
    server: RedisServer, shown: ShownSession, page: StatusPage
) -> None:
    shown.eventful()
    page.open(API_TOKEN)
    page.until_text("#incidents-body", "Disconnected")
    server.freeze()
    try:
        page.until_title("Redis does not answer")
        assert "The last that is known is “Ready”" in page.text("#state-why")
        assert "server heard" in page.text("#evidence")
        assert "Disconnected" in page.text("#incidents-body")
    finally:
        server.thaw()
    shown.status()
    page.until_title("Ready")
    number = shown.message(4711)
    page.until(f"!!document.querySelector('[data-key=\"{number}\"]')")


def test_a_page_that_is_opened_while_redis_is_away(server: RedisServer, shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    server.kill()
    try:
        page.open(API_TOKEN)
        page.until_title("Redis does not answer")
        page.until_text("#queues", "Cannot be read. Redis does not answer.")
    finally:
        server.start()
    shown.status()
    page.until_title("Ready")
    page.until_text("#queues-body", "Events kept")


def test_the_service_restarted_is_told_and_recovered_from(
    web: WebProcess, shown: ShownSession, page: StatusPage
) -> None:
    """What came meanwhile is there afterwards, and the person need not log in again."""
    shown.eventful()
    page.open(API_TOKEN)
    page.until_text("#events-body li .type", "alert")
    web.stop()
    try:
        page.until_title("The service does not answer")
        assert "goes on by itself" in page.text("#state-todo")
        page.until_text("#live", "The service does not answer, since")
        missed = [shown.message(number) for number in range(500, 505)]
    finally:
        web.start()
    shown.status()
    page.until_title("Ready")
    page.until("document.querySelector('#live').dataset.level === 'good'")
    for one in missed:
        page.until(f"!!document.querySelector('[data-key=\"{one}\"]')")


def test_who_was_signed_out_elsewhere_is_told(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    page.open(API_TOKEN)
    page.page.devtools.call("Network.clearBrowserCookies")
    page.page.evaluate("dispatchEvent(new Event('online'))")  # the connection is made anew
    page.until_title("Signed out")
    page.until_text("#banner", "Sign in")


# -- linking a phone


def test_the_code_is_large_counts_down_and_follows_its_successor(shown: ShownSession, page: StatusPage) -> None:
    shown.waiting(1, lasts_s=60)
    page.open(API_TOKEN)
    image = "document.querySelector('#qr-image')"
    page.until(f"{image}.naturalWidth > 0")
    assert page.page.evaluate(f"{image}.getBoundingClientRect().width") >= 360
    first = page.page.evaluate(f"{image}.src")
    left = page.text("#qr-left")
    page.until(f"/Good for \\d+ s/.test({left!r}) && document.querySelector('#qr-left').innerText !== {left!r}")
    shown.waiting(2, lasts_s=2)
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


def test_a_service_without_pairing_codes_says_so(shown: ShownSession, page: StatusPage) -> None:
    shown.waiting(1)
    page.answer_instead("/api/commands/pairing_code", {"code": "not_found", "detail": "Not Found"}, 404)
    page.open(API_TOKEN)
    page.page.evaluate("document.querySelector('#phone').value = '393331112233'")
    page.click("#pairing-ask")
    page.until_text("#phone-said", "scan the code")


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


def test_the_history_can_be_read_by_slider_and_table(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    shown.history()
    shown.webhooks()
    page.open(API_TOKEN)
    page.until_text("#history-read", "Healthy")
    assert "slowest 90 ms" in page.text("#history-read")
    page.page.evaluate("document.querySelector('#history-slider').focus()")
    page.press("ArrowLeft")
    page.until_text("#history-read", "slowest 9 ms")
    assert (
        page.page.evaluate("document.querySelector('#history-slider').ariaValueText")
        == page.text("#history-read").strip()
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
        for path in ("/api/events", "/api/events/stream?after=0-0"):
            assert ("2@secret" in web.read(path, token, until='"type"')) == is_told
    page.open(API_TOKEN)
    page.click(f'[data-key="{told}"] summary')
    page.until_text(f'[data-key="{told}"]', "(not shown)")
    assert "2@secret" not in page.page.evaluate("document.documentElement.outerHTML")


# -- what can be done


@pytest.fixture
def agent(server: RedisServer, shown: ShownSession) -> Iterator[Agent]:
    """Who answers in the agent's place."""
    with Agent(server.url) as made:
        wait_until(lambda: shown.redis.pubsub_numsub(shown.names.commands)[0][1], 20, "the agent listens")
        yield made


def test_buttons_act_and_tell_what_became_of_it(
    shown: ShownSession, agent: Agent, page: StatusPage, server: RedisServer
) -> None:
    shown.status()
    page.open(API_TOKEN)
    for action, said in (
        ("check", "Healthy."),
        ("reset", "The connection was reset"),
        ("restart_browser", "A new browser runs"),
    ):
        page.click(f"[data-action={action}]")
        page.until_text("#action-said", said)
        page.until("!document.querySelector('#action-bar [aria-disabled]')")
    assert ("reset", "status page") in agent.called
    page.click("[data-action=restart_agent]")
    page.until_text("#action-said", "The worker was asked")
    queues: Callable[[], object] = lambda: shown.redis.keys("huey.redis.*")  # noqa: E731
    wait_until(queues, 20, "the task is in the worker's queue")
    shown.status(epoch=4)
    page.until_text("#action-said", "A new agent runs: start 4.")


def test_an_action_that_fails_says_why(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    page.open(API_TOKEN)
    page.click("[data-action=reset]")
    page.until_text("#action-said", "Reset connection: No agent listens for commands.")


def test_dead_letters_are_tried_again(shown: ShownSession, page: StatusPage) -> None:
    """One by its button, all by another; what cannot be done is said."""
    shown.eventful()
    letter = shown.webhooks()
    page.answer_instead("/api/media/retry", {"retried": 1, "unknown": []})
    page.open(API_TOKEN)
    page.click("#files-body tbody button")
    page.until_text("#files-body", "1 file will be tried again.")
    page.click("#webhooks-body tbody button")
    page.until_text("#webhooks-body", "It will be delivered again.")
    hook = letter.partition("-")[0]
    assert shown.redis.lrange(shown.names.webhook_replays(hook), 0, -1) == [letter]


def test_snapshots_are_listed_when_asked_for_and_verified(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    listed = {
        "store": "s3://sessions",
        "generations": [
            {
                "id": f"00000{number}-20261125T054802Z-d151eb",
                "epoch": number,
                "created_at": ago(hours=number).isoformat(),
                "verified_at": ago(hours=number).isoformat(),
                "cause": "interval",
                "stored_bytes": 23_000_000,
                "profile_bytes": 60_000_000,
                "files": 412,
            }
            for number in (1, 2)
        ],
    }
    page.answer_instead("/api/sessions/verify", {"generation": "g", "files": 412, "bytes": 60_000_000})
    page.answer_instead("/api/sessions", listed)
    page.open(API_TOKEN)
    assert not [url for url in page.asked if "/api/sessions" in url]
    page.click("#snapshots-body button")
    page.until_text("#snapshots-body", "2 snapshots in s3://sessions")
    page.click("#snapshots-body tbody button")
    page.until_text("#snapshots-body", "Whole: 412 files, 60 MB.")
    page.until_text("#snapshots-body tbody", "read back just now")


def test_logging_out_asks_first_and_the_focus_returns(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    page.answer_instead("/api/commands/logout", {"took_ms": 12.0})
    page.open(API_TOKEN)
    page.page.evaluate("document.querySelector('[data-action=logout]').focus()")
    page.press("Enter")
    page.until("document.querySelector('#sure').open")
    assert page.focused() == "BUTTON Cancel"
    for _ in range(5):
        page.press("Tab")
        assert page.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('#sure')"
        ), page.focused()
    page.press("Escape")
    page.until("!document.querySelector('#sure').open")
    page.until("document.activeElement.dataset.action === 'logout'")
    assert not [url for url in page.asked if "logout" in url]
    page.press("Enter")
    page.until("document.querySelector('#sure').open")
    page.click("#sure-yes")
    page.until_text("#action-said", "Logged out.")
    assert len([url for url in page.asked if "logout" in url]) == 1


def test_the_api_s_page_describes_every_operation_and_asks_nobody_else(
    shown: ShownSession, page: StatusPage, web: WebProcess
) -> None:
    shown.status()
    page.open(API_TOKEN)
    page.page.goto(f"{web.url}/docs")
    with web.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    operations = sum(len(methods) for methods in paths.values())
    page.until(f"document.querySelectorAll('.opblock').length === {operations}")


def test_a_viewer_sees_no_button_that_acts_and_no_code(shown: ShownSession, page: StatusPage) -> None:
    shown.eventful()
    shown.waiting(1)
    shown.history()
    shown.webhooks()
    page.open(VIEW_TOKEN)
    page.until_title("Waiting for a scan")
    page.until_text("#files-body", "WhatsApp has it no more")
    page.until_text("#webhooks-body", "404 Not Found")
    buttons = (
        "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility()).map((one) => one.innerText)"
    )
    assert page.page.evaluate(buttons) == ["Sign out", "List the snapshots"]
    assert "only" in page.text("#role")
    assert "shown to those who come with API_TOKEN" in page.text("#link-viewer")
    assert not page.page.evaluate("document.querySelector('#qr-image').checkVisibility()")
    assert not [url for url in page.asked if "/api/qr" in url]


def test_signing_out_ends_the_session(shown: ShownSession, page: StatusPage) -> None:
    shown.status()
    page.open(API_TOKEN)
    page.page.evaluate("document.querySelector('form[action=\"/logout\"]').requestSubmit()")
    page.until("!!document.querySelector('#token')")


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
