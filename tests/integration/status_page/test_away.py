"""What the status page says while something is away, and that it recovers by itself."""

from tests.harness.redis_server import RedisServer
from tests.harness.shown_session import ShownSession
from tests.harness.status_page import StatusPage
from tests.harness.web_process import API_TOKEN, WebProcess
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState

_SOURCES = """
window.sources = [];
window.EventSource = class extends EventSource { constructor(...given) { super(...given); sources.push(this); } };
Object.defineProperty(document, 'hidden', { get: () => window.isAway === true });
"""


def _look(page: StatusPage, *, away: bool) -> None:
    page.page.evaluate(f"window.isAway = {str(away).lower()}, document.dispatchEvent(new Event('visibilitychange'))")


def test_a_tab_that_nobody_looks_at_gives_its_connection_up_and_goes_on_where_it_was(
    shown: ShownSession, page: StatusPage
) -> None:
    """A browser has six connections for a host: the seventh tab would hang."""
    page.page.devtools.call("Page.addScriptToEvaluateOnNewDocument", source=_SOURCES)
    shown.eventful()
    page.open(API_TOKEN)
    page.until_text("#live", "Live")
    known = shown.message(1)
    page.until(f"!!document.querySelector('[data-key=\"{known}\"]')")
    module = "import(document.querySelector('script[type=module]').src.replace('main.js', 'live.js'))"
    page.page.evaluate(f"{module}.then(({{ options }}) => {{ options.restsAfterMs = 50; options.asksEveryMs = 50; }})")
    _look(page, away=True)
    page.until("sources.every(({ readyState }) => readyState === EventSource.CLOSED)")
    missed = shown.message(2)
    shown.status(state=SessionState.CONFLICT, verdict=Verdict.WAITING_FOR_PERSON, verdict_reason="conflict")
    page.until("document.title.startsWith('Open in another place')")  # its title is still right
    page.page.evaluate("dispatchEvent(new Event('online'))")
    assert page.page.evaluate("sources.every(({ readyState }) => readyState === EventSource.CLOSED)")
    asked = len(page.asked)
    shown.status()
    _look(page, away=False)
    page.until_title("Ready")
    page.until_text("#live", "Live")
    page.until(f"!!document.querySelector('[data-key=\"{missed}\"]')")
    (stream,) = [url for url in page.asked[asked:] if "/api/events/stream" in url]
    assert stream.endswith(f"&after={known}")


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
