"""Server-sent events of a real web process on a real Redis."""

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_bare_events
from tests.harness.waiting import wait_until
from tests.harness.web_process import SESSION, WebProcess
from web.api.events import MOST_FOLLOWERS
from web.feed import KEPT
from whatsapp_contract.names import SessionNames

NAMES = SessionNames(SESSION)


class Follower:
    """A context manager: follows on a thread of its own, as EventSource does. `items` are (type, id, data)."""

    def __init__(self, web: WebProcess, last_event_id: str | None = None, **params: Any) -> None:
        self._client = web.client()
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self._request = self._client.build_request("GET", "/api/events/stream", params=params, headers=headers)
        self.items: queue.Queue[tuple[str, str | None, Any]] = queue.Queue()
        self.opened = threading.Event()
        self.ended = threading.Event()
        self.status: int | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.opened.wait(20), "the stream is open"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def next(self, within_s: float = 20) -> tuple[str, str | None, Any]:
        return self.items.get(timeout=within_s)

    def _follow(self) -> None:
        try:
            answer = self._client.send(self._request, stream=True)
            self.status = answer.status_code
            self._read(answer.iter_lines())
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError):
            pass
        finally:
            self.opened.set()
            self.ended.set()

    def _read(self, lines: Iterator[str]) -> None:
        item: dict[str, str] = {}
        for line in lines:
            self.opened.set()
            if line:
                name, _, value = line.partition(": ")
                item[name] = value
                continue
            if "data" in item:
                self.items.put((item["event"], item.get("id"), json.loads(item["data"])))
            item = {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as redis:
        yield redis


@pytest.fixture
def web(server: RedisServer, tmp_path: Path) -> Iterator[WebProcess]:
    with WebProcess(server, tmp_path / "web") as process:
        yield process


@pytest.fixture
def tell(server: RedisServer) -> Iterator[Callable[..., list[str]]]:
    """Puts events into the stream, and gives their ids."""
    with server.client() as redis:
        yield partial(add_bare_events, redis, NAMES)


def test_events_come_as_they_are_told_with_their_ids(web: WebProcess, tell: Callable[..., list[str]]) -> None:
    tell("qr")
    with Follower(web) as all_of_them, Follower(web, types="message") as messages:
        first, second = tell("ready", "message")
        kind, event_id, event = all_of_them.next()
        assert (kind, event_id, event["id"], event["type"]) == ("ready", first, first, "ready")
        assert all_of_them.next()[:2] == ("message", second)
        assert messages.next()[:2] == ("message", second)


def test_who_comes_again_gets_what_he_missed(web: WebProcess, tell: Callable[..., list[str]]) -> None:
    ids = tell(*["message"] * (KEPT + 300))
    with Follower(web, last_event_id=ids[10]) as far_behind, Follower(web, after=ids[-3]) as near:
        assert [near.next()[1] for _ in range(2)] == ids[-2:]
        (last,) = tell("ready")
        assert near.next()[1] == last
        assert [far_behind.next()[1] for _ in range(len(ids) - 11)] == ids[11:]
        assert far_behind.next()[1] == last


def test_a_burst_larger_than_what_is_kept_reaches_everybody_whole(
    web: WebProcess, tell: Callable[..., list[str]]
) -> None:
    with Follower(web) as follower:
        ids = tell(*["message"] * (2 * KEPT + 7))
        assert [follower.next()[1] for _ in ids] == ids


def test_an_id_that_was_never_told_means_from_now_on(web: WebProcess, tell: Callable[..., list[str]]) -> None:
    tell("message")
    with Follower(web, last_event_id="9999999999999-0") as follower:
        (told,) = tell("ready")
        assert follower.next()[1] == told


def test_an_outage_of_redis_breaks_no_stream_and_loses_none(
    web: WebProcess, server: RedisServer, tell: Callable[..., list[str]]
) -> None:
    with Follower(web, status="true") as follower:
        assert follower.next()[2]["redis"] is True
        (first,) = tell("message")
        wait_until(lambda: follower.next()[1] == first, 20, "it is told")
        server.stop()
        wait_until(lambda: follower.next()[2].get("redis") is False, 30, "that Redis is away is told")
        server.start()
        (second,) = tell("message")
        wait_until(lambda: follower.next()[1] == second, 30, "what came after is told")
        assert not follower.ended.is_set()


def test_a_status_is_told_at_once_and_when_it_changes(web: WebProcess, server: RedisServer) -> None:
    moment = "2026-11-01T00:00:00+00:00"
    known = {"session_id": SESSION, "instance": "i1", "pid": "1", "epoch": "7", "verdict": "healthy"}
    times = {"started_at": moment, "heartbeat_at": moment, "since": moment, "verdict_reason": "ready"}
    with Follower(web, status="true") as follower, server.client() as redis:
        assert follower.next() == ("status", None, {"redis": True, "agent": None, "qr": None})
        redis.hset(NAMES.status, mapping={**known, **times, "state": "ready"})
        wait_until(lambda: (follower.next()[2]["agent"] or {}).get("state") == "ready", 20, "the state is told")


def test_no_more_may_follow_than_there_is_room_for(web: WebProcess) -> None:
    with httpx.Client(
        base_url=web.url,
        headers={"Authorization": f"Bearer {web.environ['API_TOKEN']}"},
        limits=httpx.Limits(max_connections=None),
        timeout=60,
        trust_env=False,
    ) as client:
        streams, readers = [], []
        for _ in range(MOST_FOLLOWERS):
            streams.append(client.send(client.build_request("GET", "/api/events/stream"), stream=True))
            readers.append(streams[-1].iter_raw())  # which, thrown away, would end it
            next(readers[-1])  # it follows
        refused = client.get("/api/events/stream")
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        streams.pop().close()
        wait_until(lambda: client.get("/api/events", params={"after": "0-0"}).status_code == 200, 20, "there is room")
        for stream in streams:
            stream.close()


def test_followers_cannot_hold_up_a_stop(web: WebProcess) -> None:
    with Follower(web), Follower(web, status="true") as follower:
        started = time.monotonic()
        os.kill(web.process.pid, signal.SIGTERM)
        web.process.wait(20)
        assert time.monotonic() - started < 12  # one and a half, on a machine that has nothing else to do
        assert follower.ended.wait(20)
