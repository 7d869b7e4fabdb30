"""Consumers of the events that are killed, and whose Redis is: what comes again, and that nothing is lost."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.node_backend import PACKAGE, node_with_redis
from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_event
from tests.harness.waiting import wait_until
from tests.whatsapp_web import processes
from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.events import Event
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async, is_outage

NAMES = SessionNames("s1")
EVENTS = NAMES.events
EXAMPLES = Path(__file__).parents[2] / "docs/examples"


class Process:
    """A consumer in a process of its own; `lines` is what it has printed so far, without its log."""

    def __init__(self, *command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self.lines: list[str] = []
        self._process = processes.start(
            command, stdout=subprocess.PIPE, env=env, cwd=str(cwd or Path(__file__).parents[2])
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def wait_for(self, condition: Callable[[list[str]], bool], within_s: float = 40) -> None:
        try:
            wait_until(lambda: condition(self.lines), within_s, "the consumer's output is as expected")
        except AssertionError as error:
            raise AssertionError(self.lines) from error

    def kill(self) -> list[str]:
        """At once. What it had printed."""
        self._process.kill()
        self._process.wait()
        self._reading.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self.lines

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b" [" not in line:
                self.lines.append(line.decode().strip())


@contextlib.contextmanager
def consumer(server: RedisServer, name: str, still_at: str = "") -> Iterator[Process]:
    process = Process(sys.executable, "-m", "tests.harness.consumer", server.url, "s1", "g", name, "4", still_at)
    try:
        yield process
    finally:
        process.kill()


@contextlib.asynccontextmanager
async def following(server: RedisServer, name: str = "a", **options: Any) -> AsyncIterator[list[Event]]:
    """What a consumer in this process is given, as it comes."""
    given: list[Event] = []

    async def consume() -> None:
        async with connect_async(server.url) as redis:
            async for event in AsyncAgentClient(redis, "s1").follow(group="g", consumer=name, **options):
                given.append(event)
                await asyncio.sleep(0)

    task = asyncio.create_task(consume())
    try:
        yield given
    finally:
        assert not task.done(), "it ended"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any], within_s: float = 40) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def codes(events: list[Event]) -> list[str]:
    return [event.data["code"] for event in events]


def test_what_a_killed_consumer_had_in_hand_goes_to_the_other(redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        for n in range(20):
            add_event(redis, NAMES, str(n))
        with consumer(redis_server, "a", still_at="3") as first:
            first.wait_for(lambda lines: "3" in lines)
            time.sleep(4.5)  # longer than the idle time: it lives, and keeps what it has
            with consumer(redis_server, "b") as second:
                second.wait_for(lambda lines: len(lines) == 10)
                time.sleep(2.5)  # it has looked again for what is left alone
                assert second.lines == [str(n) for n in range(10, 20)]
                assert first.kill() == ["0", "1", "2", "3"]
                second.wait_for(lambda lines: len(lines) == 17)
                wait_until(lambda: redis.xpending(EVENTS, "g")["pending"] == 0, 20, "all is acknowledged")
                assert second.lines[10:] == [str(n) for n in range(3, 10)]  # in order, and 3 twice


def test_a_consumer_that_is_killed_between_work_and_acknowledgement_repeats_that_one_alone(
    redis_server: RedisServer,
) -> None:
    with redis_server.client() as redis:
        for n in range(40):
            add_event(redis, NAMES, str(n))
        lives = []
        for still_at in ("0", "9", "10", "25", "none"):
            with consumer(redis_server, "a", still_at) as process:
                process.wait_for(lambda lines, last=still_at: lines[-1:] == [last if last != "none" else "39"])  # type: ignore[misc]
                lives.append(process.kill())
    assert lives[0] == ["0"]
    assert lives[1] == [str(n) for n in range(10)]
    assert lives[2] == ["9", "10"]
    assert lives[3] == [str(n) for n in range(10, 26)]
    assert lives[4] == [str(n) for n in range(25, 40)]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_no_event_is_lost_over_restarts_of_redis(redis_server: RedisServer, how: str) -> None:
    published = 0
    async with following(redis_server) as one, following(redis_server, "b") as two:
        for _ in range(3):
            async with connect_async(redis_server.url) as redis:
                for _ in range(300):
                    await add_event(redis, NAMES, str(published))
                    published += 1
            await asyncio.to_thread(getattr(redis_server, how))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(redis_server.start)
        await until(lambda: {*codes(one), *codes(two)} == {str(n) for n in range(published)})
        async with connect_async(redis_server.url) as redis:
            async with asyncio.timeout(40):
                while (await redis.xpending(EVENTS, "g"))["pending"]:
                    await asyncio.sleep(0.05)
    # Only what was in hand when Redis went may come twice.
    assert len(one) + len(two) <= published + 6 * 10


async def test_a_frozen_redis_is_waited_for(redis_server: RedisServer) -> None:
    async with following(redis_server) as given, connect_async(redis_server.url) as redis:
        await add_event(redis, NAMES, "before")
        await until(lambda: codes(given) == ["before"])
        redis_server.freeze()
        await asyncio.sleep(7)  # the connection is given up meanwhile
        redis_server.thaw()
        with contextlib.suppress(Exception):
            await redis.ping()
        await add_event(redis, NAMES, "after")
        await until(lambda: codes(given)[-1] == "after")
        assert codes(given) == ["before", "after"]


async def test_a_redis_that_lost_everything_is_followed_from_its_new_beginning(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with following(redis_server) as given, following(redis_server, "b") as other:
        async with connect_async(redis_server.url) as redis:
            await add_event(redis, NAMES, "before")
            await until(lambda: codes([*given, *other]) == ["before"])
        await asyncio.to_thread(redis_server.kill)
        shutil.rmtree(tmp_path / "redis")
        await asyncio.to_thread(redis_server.start)
        async with connect_async(redis_server.url) as redis:
            for n in range(50):
                await add_event(redis, NAMES, str(n))
            await until(lambda: len([*given, *other]) == 51)
            assert sorted(codes([*given, *other])) == sorted(["before", *(str(n) for n in range(50))])
            await redis.delete(EVENTS)  # and while they are blocked on it
            await asyncio.sleep(0.5)
            await add_event(redis, NAMES, "again")
            await until(lambda: "again" in codes([*given, *other]))


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("ACL SETUSER default resetkeys ~other", "ACL SETUSER default ~*"),
    ],
)
async def test_a_redis_that_refuses_is_waited_for(redis_server: RedisServer, spoil: str, mend: str) -> None:
    async with following(redis_server) as given, connect_async(redis_server.url) as client:
        redis: Any = client
        await add_event(redis, NAMES, "1")
        await until(lambda: codes(given) == ["1"])
        await redis.execute_command(*spoil.split(" "))
        with pytest.raises(Exception) as caught:  # noqa: PT011  # which it is, is Redis' matter
            await add_event(redis, NAMES, "2")
        assert is_outage(caught.value)
        await asyncio.sleep(2.5)
        await redis.execute_command(*mend.split(" "))
        await add_event(redis, NAMES, "2")
        await until(lambda: codes(given) == ["1", "2"])


async def test_a_redis_that_is_not_there_at_first_is_waited_for(redis_server: RedisServer) -> None:
    redis_server.stop()
    async with following(redis_server) as given:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(redis_server.start)
        async with connect_async(redis_server.url) as redis:
            await add_event(redis, NAMES, "1")
        await until(lambda: codes(given) == ["1"])


# -- the examples in the documentation


def _message(redis: Any, key: str) -> None:
    event = {"v": 1, "type": "message", "session_id": "s1", "epoch": 1, "seq": 1}
    times = {"occurred_at": "2026-11-23T19:34:33.000Z", "observed_at": "2026-11-23T19:34:33.412Z"}
    data = {"key": key, "from_me": False, "chat_name": "Family", "text": "hello", "media": None}
    redis.xadd(EVENTS, {"event": json.dumps(event | times | {"data": data})})


def _media(redis: Any, key: str, status: str) -> None:
    event = {"v": 1, "type": "media", "session_id": "s1", "epoch": 1, "seq": 1}
    times = {"occurred_at": "2026-11-23T19:34:33.000Z", "observed_at": "2026-11-23T19:34:33.412Z"}
    data = {
        "key": key,
        "from_me": False,
        "status": status,
        "url": "s3://b/k" if status == "stored" else None,
        "error": "gone",
    }
    redis.xadd(EVENTS, {"event": json.dumps(event | times | {"data": data})})


def _run_example(redis_server: RedisServer, start: Callable[[str], Process], group: str) -> None:
    with redis_server.client() as redis:
        add_event(redis, NAMES, "of no interest")
        for key in ("k1", "k2", "k1"):
            _message(redis, key)
        _media(redis, "k2", "failed")
        _media(redis, "k2", "stored")
        backend = start("one")
        expected = [
            "message k1 Family hello",
            "message k2 Family hello",
            "no photo k2 gone",
            "photo k2 s3://b/k",
        ]
        backend.wait_for(lambda lines: lines == expected)
        wait_until(lambda: redis.xpending(EVENTS, group)["pending"] == 0, 20, "all is acknowledged")
        # Through a restart of Redis.
        redis_server.stop()
        redis_server.start()
        _message(redis, "k3")
        backend.wait_for(lambda lines: lines[4:] == ["message k3 Family hello"])
        wait_until(lambda: redis.xpending(EVENTS, group)["pending"] == 0, 20, "it is acknowledged, too")
        backend.kill()
        # What it had taken and not acknowledged, of its own and of a dead one's, and what was trimmed meanwhile.
        for key in ("k4", "k5", "k6", "k7"):
            _message(redis, key)
        redis.xreadgroup(group, "one", {EVENTS: ">"}, count=1)
        redis.xreadgroup(group, "dead", {EVENTS: ">"}, count=1)
        (gone,) = redis.xreadgroup(group, "one", {EVENTS: ">"}, count=1)[0][1]
        redis.xdel(EVENTS, gone[0])
        time.sleep(1)
        backend = start("one")
        try:
            backend.wait_for(lambda lines: len(lines) == 3)
            assert {line.split()[1] for line in backend.lines} == {"k4", "k5", "k7"}
            wait_until(lambda: redis.xpending(EVENTS, group)["pending"] == 0, 20, "all is acknowledged")
            # And once more with a Redis that lost everything.
            redis.flushall()
            _message(redis, "k8")
            backend.wait_for(lambda lines: lines[-1] == "message k8 Family hello")
        finally:
            backend.kill()


def test_the_example_in_python(redis_server: RedisServer, tmp_path: Path) -> None:
    source = (EXAMPLES / "backend.py").read_text()
    script = tmp_path / "backend.py"
    script.write_text(source.replace("consumer=consumer,", "consumer=consumer, claim_idle_s=0.5,"))
    assert "claim_idle_s" in script.read_text()
    env = {"REDIS_URL": redis_server.url, "WHATSAPP_SESSION_ID": "s1", "PYTHONPATH": str(EXAMPLES.parents[1])}
    _run_example(redis_server, lambda name: Process(sys.executable, str(script), name, env=env), "photos")


def test_the_example_in_node(redis_server: RedisServer, tmp_path: Path) -> None:
    node = node_with_redis()
    shutil.copy(EXAMPLES / "backend.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(PACKAGE / "node_modules")
    env = {"REDIS_URL": redis_server.url, "WHATSAPP_SESSION_ID": "s1", "CLAIM_IDLE_MS": "500"}
    _run_example(redis_server, lambda name: Process(node, "backend.mjs", name, env=env, cwd=tmp_path), "photos-node")
