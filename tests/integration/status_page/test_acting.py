"""What can be done on the status page, and by whom."""

from collections.abc import Callable

from tests.harness.redis_server import RedisServer
from tests.harness.shown_session import ShownSession, ago
from tests.harness.status_page import StatusPage
from tests.harness.waiting import wait_until
from tests.harness.watched import Agent
from tests.harness.web_process import API_TOKEN, VIEW_TOKEN, WebProcess

# -- what can be done


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
