"""Logging in at a browser: sessions, their end, forged requests, and how often somebody may guess."""

import re
from collections.abc import AsyncIterator

import fakeredis
import httpx
import pytest

from web.app import create_app
from web.logins import LASTS_S, Logins
from web.pages import LOGIN_COOKIE
from web.throttle import FORGOTTEN_AFTER_S, FREE_GUESSES, LONGEST_LOCK_S, TRUSTED_FOR_S, Guesses, RateLimit, who
from web.tokens import Role, Tokens
from whatsapp_contract.settings import Settings

TOKEN, VIEW = "a-token-of-the-test", "a-view-token"
TOKENS = Tokens(TOKEN, VIEW)
COOKIE = Logins(TOKENS, "s1").cookie


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a token."""
    settings = Settings.from_env({"WHATSAPP_SESSION_ID": "s1", "INSTANCE_ID": "i1", "VIEW_TOKEN": VIEW})
    redis = fakeredis.FakeAsyncRedis(decode_responses=True)
    transport = httpx.ASGITransport(create_app(settings, redis, TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
        yield client


def field(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found.group(1)


async def log_in(http: httpx.AsyncClient, token: str = TOKEN) -> httpx.Response:
    form = await http.get("/")
    return await http.post("/login", data={"csrf": field(form), "token": token})


async def csrf_of(http: httpx.AsyncClient) -> str:
    return str((await http.get("/api/login")).json()["csrf"])


async def test_the_form_opens_the_page_with_a_cookie_that_no_script_reads(http: httpx.AsyncClient) -> None:
    form = await http.get("/")
    assert (form.status_code, form.headers["www-authenticate"]) == (401, "Bearer")
    assert "s1" not in form.text
    answer = await http.post("/login", data={"csrf": field(form), "token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    (cookie,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")]
    assert {"HttpOnly", "SameSite=strict", "Secure"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    page = await http.get("/")
    assert page.status_code == 200
    assert TOKEN not in page.text
    assert (await http.get("/api/login")).json()["role"] == "act"


async def test_a_wrong_token_and_a_foreign_form_open_nothing(http: httpx.AsyncClient) -> None:
    assert (await log_in(http, "wrong-token")).status_code == 401
    form = await http.get("/")
    foreign = await http.post("/login", data={"csrf": "0" * 64, "token": TOKEN})
    assert foreign.status_code == 403
    http.cookies.delete(LOGIN_COOKIE)
    assert (await http.post("/login", data={"csrf": field(form), "token": TOKEN})).status_code == 403
    assert (await http.get("/api/status")).status_code == 401


async def test_what_a_session_does_needs_its_csrf_token_and_what_it_reads_does_not(http: httpx.AsyncClient) -> None:
    await log_in(http)
    assert (await http.get("/api/status")).status_code == 200
    for headers in (
        {},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": await csrf_of(http), "Sec-Fetch-Site": "cross-site"},
    ):
        refused = await http.post("/api/commands/ping", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    allowed = await http.post("/api/commands/ping", headers={"X-CSRF-Token": await csrf_of(http)})
    assert (allowed.status_code, allowed.json()["code"]) == (503, "agent_unreachable")


async def test_another_session_s_csrf_token_does_not_fit(http: httpx.AsyncClient) -> None:
    await log_in(http)
    former = await csrf_of(http)
    http.cookies.clear()
    await log_in(http)
    assert (await http.post("/api/commands/ping", headers={"X-CSRF-Token": former})).status_code == 403


async def test_a_viewer_s_session_only_looks(http: httpx.AsyncClient) -> None:
    await log_in(http, VIEW)
    assert (await http.get("/api/login")).json()["role"] == "view"
    assert (await http.get("/api/status")).status_code == 200
    refused = await http.post("/api/commands/ping", headers={"X-CSRF-Token": await csrf_of(http)})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_logging_out_ends_the_session_for_whoever_kept_its_cookie(http: httpx.AsyncClient) -> None:
    await log_in(http)
    kept = http.cookies[COOKIE]
    assert (await http.post("/logout", data={"csrf": "0" * 64})).status_code == 403
    assert (await http.post("/logout", data={"csrf": await csrf_of(http)})).status_code == 303
    http.cookies.set(COOKIE, kept, domain="test")
    assert (await http.get("/api/status")).status_code == 401


async def test_a_form_that_is_none_is_answered_by_the_form(http: httpx.AsyncClient) -> None:
    await http.get("/")
    for body in ("&".join("a=1" for _ in range(50)), "csrf=%ff", ""):
        answer = await http.post("/login", content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert (await http.post("/login", content="x" * 5000)).status_code == 413


def test_containers_of_a_host_have_cookies_of_their_own() -> None:
    """A browser sends a host's cookies to each of its ports."""
    one, other = Logins(TOKENS, "s1"), Logins(TOKENS, "s2")
    assert one.cookie != other.cookie
    assert other.read(one.open(Role.ACT)[0]) is None


async def test_a_person_without_a_session_is_led_from_the_api_s_page_to_the_form(http: httpx.AsyncClient) -> None:
    answer = await http.get("/docs", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await http.get("/docs")).status_code == 401
    await log_in(http)
    assert (await http.get("/docs", headers={"Accept": "text/html,*/*"})).status_code == 200


async def test_who_guesses_at_the_form_is_told_to_wait(http: httpx.AsyncClient) -> None:
    for _ in range(FREE_GUESSES + 1):
        assert (await log_in(http, "wrong-token")).status_code == 401
    answer = await log_in(http)
    assert answer.status_code == 429
    assert "Try again in" in answer.text


def test_a_session_lasts_its_time_and_ends_with_its_token() -> None:
    clock = Clock()
    cookie, login = Logins(TOKENS, "s1", clock).open(Role.ACT)
    again = Logins(TOKENS, "s1", clock)  # another process
    assert again.read(cookie) == login
    assert Logins(Tokens("another-token", VIEW), "s1", clock).read(cookie) is None
    clock.now += LASTS_S
    assert again.read(cookie) is None


def test_a_session_of_the_viewer_s_token_ends_where_there_is_none_any_more() -> None:
    cookie, _login = Logins(TOKENS, "s1").open(Role.VIEW)
    assert Logins(Tokens(TOKEN), "s1").read(cookie) is None


@pytest.mark.parametrize("position", range(4))
def test_a_cookie_that_was_changed_anywhere_opens_nothing(position: int) -> None:
    parts = Logins(TOKENS, "s1").open(Role.VIEW)[0].split(".")
    parts[position] = (
        "ACT",
        str(int(parts[1]) + 1),
        parts[2] + "x",
        parts[3][:-1] + ("0" if parts[3][-1] != "0" else "1"),
    )[position]
    assert Logins(TOKENS, "s1").read(".".join(parts)) is None


@pytest.mark.parametrize(
    "cookie", ["", "...", "ACT.x.y.z", "ACT.²³.y.z", "ROOT.1.y.z", "a.b.c.d.e", "ACT." + "9" * 5000 + ".y.z"]
)
def test_what_is_no_cookie_of_ours_opens_nothing(cookie: str) -> None:
    assert Logins(TOKENS, "s1").read(cookie) is None


def test_each_wrong_token_after_the_free_ones_locks_for_longer_up_to_a_minute() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    assert [guesses.note_wrong("a") for _ in range(FREE_GUESSES)] == [0.0] * FREE_GUESSES
    locks = [guesses.note_wrong("a") for _ in range(9)]
    assert locks == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert guesses.locked_for_s("a") == LONGEST_LOCK_S
    assert guesses.locked_for_s("b") == 0
    clock.now += LONGEST_LOCK_S
    assert guesses.locked_for_s("a") == 0
    clock.now += FORGOTTEN_AFTER_S
    assert guesses.note_wrong("a") == 0


def test_where_the_right_token_came_from_nobody_is_locked_out_for_an_hour() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    guesses.note_right("a")
    for _ in range(2 * FREE_GUESSES):
        guesses.note_wrong("a")
    assert guesses.locked_for_s("a") == 0
    clock.now += TRUSTED_FOR_S
    for _ in range(2 * FREE_GUESSES):
        guesses.note_wrong("a")
    assert guesses.locked_for_s("a") > 0


async def test_a_viewer_may_not_guess_at_the_other_token(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/status", headers={"Authorization": f"Bearer {VIEW}"})).status_code == 200
    wrong = {"Authorization": "Bearer wrong-token"}
    codes = [(await http.get("/api/status", headers=wrong)).status_code for _ in range(FREE_GUESSES + 2)]
    assert codes == [401] * (FREE_GUESSES + 1) + [429]


def test_a_bucket_gives_what_it_holds_and_fills_up_again() -> None:
    clock = Clock()
    limit = RateLimit(per_s=4, burst=3, clock=clock)
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.25]
    assert limit.wait_s("b") == 0
    clock.now += 0.25
    assert (limit.wait_s("a"), limit.wait_s("a")) == (0, 0.25)
    clock.now += 3600
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.25]


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("testclient", "testclient"),
    ],
)
def test_a_caller_is_counted_by_address_and_by_network_where_it_has_many(address: str | None, counted_as: str) -> None:
    assert who(address) == counted_as
