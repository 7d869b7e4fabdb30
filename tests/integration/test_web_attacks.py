"""What somebody may try on the web process from outside: a real one, on a real Redis."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.waiting import wait_until
from tests.harness.web_process import API_TOKEN, SESSION, VIEW_TOKEN, WebProcess, problem, ready_status
from web.api.events import MOST_FOLLOWERS
from web.connections import ASKS_WITHIN_S
from web.here import MOST_CALLS
from whatsapp_contract.names import SessionNames
from whatsapp_contract.webhooks import DeadLetter, letter_id

NAMES = SessionNames(SESSION)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def web(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    with WebProcess(server, tmp_path_factory.mktemp("web"), API_RATE="100000") as process:
        yield process


def sent(web: WebProcess, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=60)
    connection.sendall(text.encode())
    return connection


def all_of(connection: socket.socket) -> str:
    """What is answered until the other side closes."""
    read = b""
    with connection:
        while piece := connection.recv(65_536):
            read += piece
    return read.decode()


@pytest.mark.parametrize("path", ["/api/commands/reset", "/api/nothing", "/docs/swagger-ui-bundle.js", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_stranger_learns_the_same_of_every_path_and_his_body_is_not_waited_for(
    web: WebProcess, path: str, method: str
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    answer = all_of(sent(web, head + "{"))
    assert answer.startswith("HTTP/1.1 401")
    assert "unauthorized" in answer


def test_neither_a_head_nor_a_body_that_does_not_come_is_waited_for_for_ever(web: WebProcess) -> None:
    head = f"POST /api/commands/reset HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n"
    started = time.monotonic()
    half_head = sent(web, head)
    no_body = sent(web, head + "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    assert all_of(half_head) == ""
    assert "HTTP/1.1 408" in all_of(no_body)
    assert time.monotonic() - started > ASKS_WITHIN_S / 2


def test_commands_that_wait_keep_nobody_from_health_and_status(web: WebProcess, server: RedisServer) -> None:
    with server.client() as redis, redis.pubsub() as pubsub:
        redis.hset(NAMES.status, mapping=ready_status().to_hash())
        pubsub.subscribe(NAMES.commands)  # an agent that never answers
        wait_until(lambda: redis.pubsub_numsub(NAMES.commands)[0][1], 10, "somebody listens")
        codes: list[int] = []

        # One client for all, and a command that is waited for for some time: all are to wait at once.
        with web.client(limits=httpx.Limits(max_connections=None)) as client:

            def ask() -> None:
                codes.append(client.post("/api/commands/screenshot").status_code)

            asking = [threading.Thread(target=ask) for _ in range(MOST_CALLS + 30)]
            for one in asking:
                one.start()
            wait_until(lambda: len(codes) >= 30, 30, "those that are too many are answered")
            assert client.get("/readyz").json() == {"status": "ready"}
            assert client.get("/api/status").json()["redis"] is True
            for one in asking:
                one.join(60)
        assert sorted(codes) == [409] * 30 + [504] * MOST_CALLS
        redis.delete(NAMES.status)


async def test_no_more_may_follow_than_there_is_room_for_though_all_come_at_once(web: WebProcess) -> None:
    async def follow(token: str) -> tuple[int, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(f"GET /api/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        return int((await reader.readline()).split()[1]), writer

    viewers = await asyncio.gather(*(follow(VIEW_TOKEN) for _ in range(MOST_FOLLOWERS)))
    others = await asyncio.gather(*(follow(API_TOKEN) for _ in range(100)))
    codes = [code for code, _writer in (*viewers, *others)]
    assert codes.count(200) == MOST_FOLLOWERS
    assert [code for code, _writer in others].count(200) > 0  # viewers cannot take every place
    for _code, writer in (*viewers, *others):
        writer.close()


def test_a_dead_letter_tells_no_viewer_a_code(web: WebProcess, server: RedisServer) -> None:
    hook = "0123456789ab"
    letter = DeadLetter(
        id=letter_id(hook, "1-1"),
        hook=hook,
        host="backend.example",
        body=json.dumps({"type": "qr", "id": "1-1", "data": {"payload": "2@secret", "sequence": 1}}),
        reason="answers 500",
        attempts=5,
        died_at=datetime.now(UTC),
    )
    with server.client() as redis:
        redis.hset(NAMES.webhooks, mapping={f"{hook}.host": "backend.example"})
        redis.zadd(NAMES.webhook_dead(hook), {letter.id: 1.0})
        redis.hset(NAMES.webhook_letters(hook), letter.id, letter.model_dump_json())
        for token, is_told in ((API_TOKEN, True), (VIEW_TOKEN, False)):
            with web.client(token) as client:
                assert ("2@secret" in client.get("/api/webhooks/dead").text) is is_told
        redis.delete(NAMES.webhooks, NAMES.webhook_dead(hook), NAMES.webhook_letters(hook))


def test_an_event_of_another_shape_breaks_neither_page_nor_stream(web: WebProcess, server: RedisServer) -> None:
    with server.client() as redis:
        for written in ("nonsense", "{}", '{"v":2,"type":"x"}', '{"v":1,"type":"qr","session_id":"s1"}'):
            redis.xadd(NAMES.events, {"event": written})
        redis.xadd(NAMES.events, {"other": "field"})
        with web.client(VIEW_TOKEN) as client:
            assert client.get("/api/events").json()["events"] == []
        redis.delete(NAMES.events)


def test_who_signed_out_is_out_after_a_restart_too_and_his_stream_ends(server: RedisServer, tmp_path: Path) -> None:
    with WebProcess(server, tmp_path) as fresh, fresh.client(None) as browser, server.client() as redis:
        browser.get("/", params={"token": API_TOKEN})
        csrf = browser.get("/api/login").json()["csrf"]
        kept = dict(browser.cookies)
        with browser.stream("GET", "/api/events/stream") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry")
            assert browser.post("/logout", data={"csrf": csrf}).status_code == 303
            redis.xadd(NAMES.events, {"event": '{"v":1,"type":"alert","session_id":"s1"}'})
            assert not [line for line in lines if line.startswith("data")]
        fresh.stop()
        fresh.start()
        assert httpx.get(f"{fresh.url}/api/status", cookies=kept, timeout=30, trust_env=False).status_code == 401


def test_a_guesser_is_locked_out_whatever_he_guesses_next(server: RedisServer, tmp_path: Path) -> None:
    with WebProcess(server, tmp_path) as fresh, fresh.client("wrong-token") as guesser:
        codes = [guesser.get("/api/status").status_code for _ in range(11)]
        assert codes == [401] * 11
        # The first time is a second, which may be over before he guesses again; each further one is twice as long.
        codes = []

        def is_locked_out_for_long() -> bool:
            answer = guesser.get("/api/status")
            codes.append(answer.status_code)
            return int(answer.headers.get("retry-after", "0")) > 3

        wait_until(is_locked_out_for_long, 60, "he is locked out for some seconds", every_s=0.1)
        assert set(codes) == {401, 429}
        assert codes.count(401) <= 4
        locked = guesser.get("/api/status", headers={"Authorization": f"Bearer {API_TOKEN}"})
        assert problem(locked) == (429, "rate_limited")
        assert int(locked.headers["retry-after"]) >= 1
        assert guesser.get("/healthz").status_code in (200, 503)


def test_a_guesser_does_not_lock_out_the_owner_at_the_same_address(server: RedisServer, tmp_path: Path) -> None:
    with WebProcess(server, tmp_path) as fresh, fresh.client() as owner, fresh.client("wrong-token") as guesser:
        assert owner.get("/api/status").status_code == 200
        assert {guesser.get("/api/status").status_code for _ in range(30)} == {401}
        assert owner.get("/api/status").status_code == 200


def test_who_asks_too_often_is_told_when_to_come_again_and_health_is_answered(
    server: RedisServer, tmp_path: Path
) -> None:
    with WebProcess(server, tmp_path, API_RATE="2") as fresh, fresh.client() as greedy:
        for _ in range(5_000):
            answer = greedy.get("/page/nothing")
            if answer.status_code == 429:
                break
        assert problem(answer) == (429, "rate_limited")
        assert greedy.get("/healthz").status_code in (200, 503)
