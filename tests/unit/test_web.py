"""The web process over fakeredis: what is open, what a token opens, and what a status grows old into."""

import json
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest

from web.app import create_app
from web.health import Answer, alive, ready
from web.tokens import Role, Tokens, kept_token
from whatsapp_contract.events import QrOnShow
from whatsapp_contract.health import Verdict
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

NAMES = SessionNames("s1")
TOKEN = "a-token-of-the-test"
CLOSED = ["/", "/api/status", "/metrics", "/api/qr.png", "/openapi.json", "/docs"]


def now() -> datetime:
    return datetime.now(UTC)


def status(**changes: object) -> Status:
    moment = now()
    known: dict[str, object] = {
        "session_id": "s1",
        "instance": "i1",
        "pid": 7,
        "epoch": 3,
        "started_at": moment,
        "heartbeat_at": moment,
        "state": SessionState.READY,
        "since": moment,
        "verdict": Verdict.HEALTHY,
        "verdict_reason": "ready",
        "browser_seen_at": moment,
        "page_seen_at": moment,
    }
    return Status.model_validate({**known, **changes})


class Web:
    def __init__(self, http: httpx.AsyncClient, redis: Any, server: fakeredis.FakeServer) -> None:
        self.http, self.redis, self.server = http, redis, server
        self.bearer = {"Authorization": f"Bearer {TOKEN}"}

    async def open(self) -> httpx.Response:
        """The page, by the address that the service prints; httpx follows no refresh."""
        await self.http.get("/", params={"token": TOKEN})
        return await self.http.get("/")

    async def write(self, written: Status) -> None:
        await self.redis.hset(NAMES.status, mapping=written.to_hash())


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    server = fakeredis.FakeServer()
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    settings = Settings.from_env({"WHATSAPP_SESSION_ID": "s1", "INSTANCE_ID": "i1"})
    transport = httpx.ASGITransport(create_app(settings, redis, TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Web(http, redis, server)


@pytest.mark.parametrize("path", CLOSED)
async def test_without_the_token_a_closed_path_tells_nothing(web: Web, path: str) -> None:
    await web.write(status())
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Cookie": "a=b"}):
        answer = await web.http.get(path, headers=headers)
        assert answer.status_code == 401
        assert "s1" not in answer.text


async def test_the_bearer_opens_and_a_token_in_the_address_becomes_a_cookie_once(web: Web) -> None:
    assert (await web.http.get("/api/status", headers=web.bearer)).status_code == 200
    answer = await web.http.get("/", params={"token": TOKEN})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/"' in answer.text  # a redirect would come without the cookie
    assert TOKEN not in answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await web.http.get("/api/status")).status_code == 200  # httpx kept the cookie


async def test_the_open_paths_tell_alive_and_ready_and_nothing_more(web: Web) -> None:
    await web.write(status())
    for path, word in (("/healthz", "ok"), ("/readyz", "ready")):
        answer = await web.http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": word})
    await web.write(status(state=SessionState.AWAITING_SCAN, heartbeat_at=now() - timedelta(hours=1)))
    for path, word, why in (("/healthz", "ok", "starting"), ("/readyz", "not_ready", "agent_silent")):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert (await web.http.get(path, headers=headers)).json() == {"status": word}
        assert (await web.http.get(path, headers=web.bearer)).json() == {"status": why}


async def test_redis_away_is_degraded_but_alive_and_not_ready(web: Web) -> None:
    web.server.connected = False
    assert (await web.http.get("/healthz", headers=web.bearer)).json() == {"status": "degraded"}
    assert (await web.http.get("/healthz", headers=web.bearer)).status_code == 200
    answer = await web.http.get("/readyz", headers=web.bearer)
    assert (answer.status_code, answer.json()) == (503, {"status": "redis_away"})
    answer = await web.http.get("/api/status", headers=web.bearer)
    assert answer.json() == {"redis": False, "agent": None, "qr": None}


async def test_a_redis_that_accepts_and_never_answers_is_degraded_within_two_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        async with connect_async(f"redis://127.0.0.1:{frozen.getsockname()[1]}/0") as redis:
            transport = httpx.ASGITransport(create_app(Settings.from_env({}), redis, TOKEN))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                for path, code, word in (("/healthz", 200, "degraded"), ("/readyz", 503, "redis_away")):
                    started = time.monotonic()
                    answer = await http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
                    assert time.monotonic() - started < 4.5  # two, on a machine that has nothing else to do
                    assert (answer.status_code, answer.json()) == (code, {"status": word})


@pytest.mark.parametrize("key", [NAMES.status, NAMES.qr])
@pytest.mark.parametrize("written", ["a text", {"state": "of another version"}, {"state": b"\xff"}])
async def test_what_somebody_else_wrote_is_degraded_and_no_failure_of_ours(
    web: Web, key: str, written: str | dict[str, str]
) -> None:
    if isinstance(written, str):
        await web.redis.set(key, written)
    else:
        await web.redis.hset(key, mapping=written)
    if key == NAMES.status:
        assert (await web.http.get("/healthz", headers=web.bearer)).json() == {"status": "degraded"}
        answer = await web.http.get("/readyz", headers=web.bearer)
        assert (answer.status_code, answer.json()) == (503, {"status": "status_unreadable"})
        answer = await web.http.get("/api/status", headers=web.bearer)
        assert answer.json() == {"redis": True, "agent": None, "qr": None}
    else:
        assert (await web.http.get("/api/qr.png", headers=web.bearer)).status_code == 404


async def test_the_qr_is_a_png_while_one_is_on_show(web: Web) -> None:
    assert (await web.http.get("/api/qr.png", headers=web.bearer)).status_code == 404
    shown = QrOnShow(payload="2@abc,d,e,f,1", sequence=4, expires_at=now() + timedelta(seconds=20))
    await web.redis.set(NAMES.qr, shown.model_dump_json())
    answer = await web.http.get("/api/qr.png", headers=web.bearer)
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


async def test_the_status_says_what_it_amounts_to_now(web: Web) -> None:
    await web.write(status(page_seen_at=now() - timedelta(seconds=40)))
    agent = (await web.http.get("/api/status", headers=web.bearer)).json()["agent"]
    assert (agent["verdict"], agent["verdict_reason"]) == ("page_hung", "page_silent")


async def test_page_and_answers_are_not_kept_or_framed(web: Web) -> None:
    answer = await web.open()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await web.http.get("/page/js/main.js")).status_code == 200
    assert (await web.http.get("/page/..%2Fauth.py")).status_code == 404


@pytest.mark.parametrize(
    ("written", "uptime_s", "expected"),
    [
        (status, 1000, (200, "ok")),
        (lambda: status(state=SessionState.AWAITING_SCAN), 1000, (200, "ok")),
        (lambda: None, 10, (200, "starting")),
        (lambda: None, 1000, (503, "agent_silent")),
        (lambda: status(heartbeat_at=now() - timedelta(seconds=61)), 1000, (503, "agent_silent")),
        (lambda: status(instance="another"), 1000, (503, "agent_silent")),
    ],
)
def test_alive_means_that_this_container_s_agent_beats(
    written: Callable[[], Status | None], uptime_s: float, expected: tuple[int, str]
) -> None:
    answer = alive(written(), None, "i1", uptime_s, now())
    assert (answer.code, answer.status) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (200, "ready")),
        ({"state": SessionState.AWAITING_SCAN}, (503, "awaiting_scan")),
        ({"state": SessionState.DISCONNECTED, "reason": "link_silent"}, (503, "link_silent")),
        ({"page_seen_at": datetime(2020, 1, 1, tzinfo=UTC)}, (503, "page_silent")),
        ({"heartbeat_at": datetime(2020, 1, 1, tzinfo=UTC)}, (503, "agent_silent")),
    ],
)
def test_ready_needs_fresh_evidence(changes: dict[str, object], expected: tuple[int, str]) -> None:
    answer = ready(status(**changes), None, now())
    assert (answer.code, answer.status) == expected


def test_an_agent_that_was_outrun_lives_and_is_not_ready() -> None:
    outrun = status(state=SessionState.STARTING, reason="outrun", since=now() - timedelta(hours=1))
    assert alive(outrun, None, "i1", 1000, now()) == Answer(200, "held_elsewhere")
    assert ready(outrun, None, now()) == Answer(503, "outrun")


async def test_an_agent_that_stands_aside_lives_as_long_as_it_says_so(web: Web) -> None:
    await web.write(status(instance="i2"))  # ready, there
    key = InstanceNames("s1", "i1").aside
    await web.redis.set(key, "i2")
    health = await web.http.get("/healthz", headers=web.bearer)
    readiness = await web.http.get("/readyz", headers=web.bearer)
    assert (health.status_code, health.json()) == (200, {"status": "held_elsewhere"})
    assert (readiness.status_code, readiness.json()) == (503, {"status": "held_elsewhere"})
    await web.redis.delete(key)
    assert alive(status(instance="i2"), None, "i1", 1000, now()) == Answer(503, "agent_silent")
    await web.redis.set(key, "i2")
    await web.write(status())  # it has the session again
    assert (await web.http.get("/readyz", headers=web.bearer)).json() == {"status": "ready"}


def test_no_agent_ever_is_not_ready() -> None:
    assert ready(None, None, now()).status == "no_agent"


def test_a_token_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    token, is_new = kept_token(None, tmp_path)
    assert is_new
    assert len(token) >= 24
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept_token(None, tmp_path) == (token, False)


@pytest.mark.parametrize("left", [b"", b"\n", b"short\n", b"\0" * 33, b"\xff" * 20, b"two words of it\n"])
def test_a_file_without_a_token_is_written_anew(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "api-token").write_bytes(left)
    (tmp_path / "api-token.new").write_bytes(b"left by a crash")
    token, is_new = kept_token(None, tmp_path)
    assert is_new
    assert len(token) >= 24
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept_token(None, tmp_path) == (token, False)


WITHOUT_ROOM = """
import resource, signal, sys
from pathlib import Path
from web.tokens import kept_token
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(*kept_token(None, Path(sys.argv[1])))
"""


def test_with_a_full_disk_the_token_holds_for_this_life_and_nothing_is_open(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        command = [sys.executable, "-c", WITHOUT_ROOM, str(tmp_path)]
        token, is_new = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert is_new == "True"
        tokens.add(token)
    assert len(tokens) == 2
    assert not (tmp_path / "api-token").exists()


def test_an_empty_token_opens_nothing() -> None:
    assert Tokens(TOKEN).role_of("") is None
    assert Tokens(TOKEN).role_of(TOKEN) is Role.ACT
    for api, view in (("", None), (TOKEN, "")):
        with pytest.raises(ValueError, match="empty"):
            Tokens(api, view)
    with pytest.raises(ValueError, match="a viewer could do everything"):
        Tokens(TOKEN, TOKEN)


def test_a_given_token_is_used_and_not_kept(tmp_path: Path) -> None:
    settings = Settings.from_env({"API_TOKEN": "given-token"})
    assert kept_token(settings.api_token, tmp_path) == ("given-token", False)
    assert list(tmp_path.iterdir()) == []


async def test_the_files_of_the_page_are_asked_for_once(web: Web) -> None:
    """Their address changes with what they hold; without that a browser asks each time whether something changed."""
    page = await web.open()
    versioned = re.findall(r'"(/page/v[0-9a-f]{16}/js/main\.js)"', page.text)
    assert len(versioned) == 1
    answer = await web.http.get(versioned[0])
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["x-content-type-options"] == "nosniff"
    plain = await web.http.get("/page/js/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == answer.text
    assert plain.headers["cache-control"] == "no-cache"
    known = await web.http.get("/page/js/main.js", headers={"If-None-Match": plain.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert (await web.http.get("/page/v0123456789abcdef/js/main.js")).status_code == 404


async def test_the_page_has_the_status_with_it_whatever_stands_in_it(web: Web) -> None:
    await web.write(status(reason="</script><script>alert(1)</script>"))
    page = await web.open()
    assert page.text.count("</script>") == 2
    first = re.findall(r'id="first">(.*?)</script>', page.text)
    assert json.loads(first[0])["status"]["agent"]["reason"] == "</script><script>alert(1)</script>"
    assert "heartbeat_age_s" not in json.loads(first[0])["status"]["agent"]


async def test_the_page_comes_while_redis_is_away(web: Web) -> None:
    web.server.connected = False
    page = await web.open()
    first = re.findall(r'id="first">(.*?)</script>', page.text)
    assert json.loads(first[0])["status"] == {"redis": False, "agent": None, "qr": None}
