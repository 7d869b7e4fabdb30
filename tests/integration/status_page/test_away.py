"""What the status page says while something is away, and that it recovers by itself."""

from tests.harness.redis_server import RedisServer
from tests.harness.shown_session import ShownSession
from tests.harness.status_page import StatusPage
from tests.harness.web_process import API_TOKEN, WebProcess

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
