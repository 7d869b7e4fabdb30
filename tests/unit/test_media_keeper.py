"""The keeper over a store that misbehaves, with files that lie on the disk already. On fakeredis with Lua."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.media.files import Files
from browser_agent.media.keeper import MediaKeeper
from browser_agent.media.ledger import Ledger
from browser_agent.media.requests import (
    Existing,
    Exists,
    Find,
    Found,
    LocalFileBad,
    LocalFileGone,
    ProcessDied,
    Store,
    Stored,
    WorkFailed,
)
from browser_agent.session.errors import ObjectRefused, StoreUnavailable
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.media_record import MediaRecord, MediaState
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
DAY_S = 24 * 3600.0
CHAT = "1@g.us"


class Child:
    """Stands for the child process and the store behind it."""

    def __init__(self) -> None:
        self.objects: set[str] = set()
        self.puts = 0
        self.looks = 0
        self.trouble: Callable[[Store], Exception | None] = lambda _request: None

    async def ask(self, request: Any, _kind: type, _within_s: float, _note: Any = None) -> Any:
        await asyncio.sleep(0)
        if isinstance(request, Exists):
            self.looks += 1
            return Existing(exists=request.url in self.objects)
        if isinstance(request, Find):
            url = f"s3://b/{request.key}"
            return Found(url=url if url in self.objects else None, size=3)
        error = self.trouble(request)
        if error is not None:
            raise error
        data = _bytes_of(request.path)
        self.puts += 1
        sha256 = hashlib.sha256(data).hexdigest()
        url = "s3://b/" + request.key.replace("{sha256}", sha256)
        self.objects.add(url)
        return Stored(url=url, sha256=sha256, size=len(data))

    async def close(self) -> None:
        pass


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise LocalFileGone(path) from error


class Bench:
    def __init__(self, redis: Any, folder: Path) -> None:
        self.redis = redis
        self.now = time.time()
        self.ready = False
        self.child = Child()
        self.files = Files(folder)
        self.ledger = Ledger(redis, NAMES)
        fence = Fence(redis, NAMES)
        fence.epoch = 1
        self.event_log = EventLog(redis, NAMES, fence)
        self.keeper = MediaKeeper(
            self.ledger,
            self.event_log,
            self.files,
            self.child,  # type: ignore[arg-type]  # a working fake
            "s1",
            10**8,
            page=lambda: None,  # type: ignore[arg-type,return-value]  # nothing is fetched
            is_ready=lambda: self.ready,
            gate_backoff=Backoff(0.01, 0.05),
            clock=lambda: self.now,
            told_within_s=0.2,
        )

    async def put(
        self, key: str, data: bytes = b"abc", *, on_disk: bool = True, keep: bool = False, **fields: Any
    ) -> None:
        """A file of a message that was told, on the disk. With `keep` a record that is there stays as it is."""
        sha256 = hashlib.sha256(data).hexdigest()
        record = MediaRecord(
            key=key, chat_id=CHAT, sent_at=self.now, seen_at=self.now, sha256=sha256, size=len(data)
        ).changed(**fields)
        if not keep or not await self.redis.hexists(NAMES.media, key):
            await self.redis.hset(NAMES.media, key, record.model_dump_json())
        await self.redis.zadd(NAMES.media_due, {key: self.now})
        if on_disk:
            self.files.path(key).write_bytes(data)
        self.keeper.poke()

    async def events(self, kind: str = "media") -> list[dict[str, Any]]:
        events = [json.loads(fields["event"]) for _, fields in await self.redis.xrange(NAMES.events)]
        return [event["data"] for event in events if event["type"] == kind]

    async def ended(self, *keys: str) -> list[dict[str, Any]]:
        """Every media event, once these have one."""
        async with asyncio.timeout(30):
            while True:
                events = await self.events()
                if {data["key"] for data in events} >= set(keys):
                    return events
                await asyncio.sleep(0.005)

    async def count(self, count: int) -> list[dict[str, Any]]:
        """Every media event, once there are so many."""
        async with asyncio.timeout(30):
            while len(events := await self.events()) < count:
                await asyncio.sleep(0.005)
        return events

    async def record(self, key: str) -> MediaRecord:
        record = await self.ledger.record(key)
        assert record is not None
        return record


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with fakeredis.FakeAsyncRedis(decode_responses=True) as client:
        yield Bench(client, tmp_path / "media")


@contextlib.asynccontextmanager
async def running(bench: Bench, *, telling: bool = True) -> AsyncIterator[None]:
    bench.files.folder.mkdir(exist_ok=True)
    stranger = bench.files.folder / "stranger"
    stranger.write_bytes(b"x")
    tasks = [asyncio.create_task(bench.keeper.run())]
    tasks += [asyncio.create_task(bench.event_log.run())] if telling else []
    try:
        await until(lambda: not stranger.exists())  # what comes from now on is not swept
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


# -- whose trouble it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [WorkFailed("a bug"), LocalFileBad("Input/output error")])
async def test_one_bad_file_among_good_ones_is_its_own_trouble(bench: Bench, error: Exception) -> None:
    bad = bench.files.path("bad").name
    bench.child.trouble = lambda request: error if bad in request.path else None
    async with running(bench):
        await bench.put("bad", b"bad")
        for n in range(20):
            await bench.put(f"good{n}", str(n).encode())
            await bench.ended(f"good{n}")
        async with asyncio.timeout(30):
            while not (await bench.record("bad")).attempts:
                await asyncio.sleep(0.005)
    assert await bench.events("alert") == []
    record = await bench.record("bad")
    assert (record.state, record.problem, record.attempts) == (MediaState.SEEN, "unfetchable", 1)


async def test_what_the_store_takes_at_no_size_is_too_large(bench: Bench) -> None:
    bench.child.trouble = lambda _request: ObjectRefused("it takes no object of this size")
    async with running(bench):
        await bench.put("large")
        [media] = await bench.ended("large")
    assert (media["status"], media["error"]) == ("failed", "too_large")
    assert await bench.events("alert") == []
    assert bench.files.size("large") is None


async def test_a_file_that_the_child_dies_over_is_interrupted(bench: Bench) -> None:
    bench.child.trouble = lambda _request: ProcessDied("the media process died")
    async with running(bench):
        await bench.put("deadly")
        async with asyncio.timeout(30):
            while not (await bench.record("deadly")).interrupted:
                await asyncio.sleep(0.005)
    assert await bench.events("alert") == []
    assert (await bench.record("deadly")).attempts == 0


async def test_what_fails_while_all_others_pass_does_not_hold_them_up_and_is_counted(bench: Bench) -> None:
    """Such as a file too large for the proxy in front of the store, which cuts the connection."""
    bad = bench.files.path("bad").name
    bench.child.trouble = lambda request: StoreUnavailable("it is cut") if bad in request.path else None
    async with running(bench):
        await bench.put("bad", b"bad")
        for n in range(40):
            await bench.put(f"good{n}", str(n).encode())
            await bench.ended(f"good{n}")
    assert (await bench.record("bad")).attempts >= 1
    assert len(await bench.events("alert")) <= 1


async def test_a_store_in_trouble_counts_against_no_file_and_alerts_once(bench: Bench) -> None:
    bench.child.trouble = lambda _request: StoreUnavailable("it is away")
    async with running(bench):
        for n in range(30):
            await bench.put(f"k{n}", str(n).encode())
        await asyncio.sleep(0.5)
        assert await bench.events() == []
        bench.child.trouble = lambda _request: None
        ended = await bench.ended(*[f"k{n}" for n in range(30)])
    assert {(media["status"], media["attempts"]) for media in ended} == {("stored", 0)}
    assert [alert["code"] for alert in await bench.events("alert")] == ["media_store_trouble"]


# -- what is told ----------------------------------------------------------------------------------------------------


async def test_a_file_stays_until_its_event_is_confirmed(bench: Bench) -> None:
    """Redis is away for longer than is waited: whoever comes next must find the bytes."""
    async with running(bench, telling=False):
        await bench.put("a")
        await until(lambda: bench.child.puts)
        await asyncio.sleep(0.6)
        assert bench.files.size("a") == 3
    async with running(bench):
        await bench.ended("a")
        await until(lambda: bench.files.size("a") is None)
    assert len(await bench.events()) == 1
    assert await bench.redis.zcard(NAMES.media_due) == 0


async def test_one_given_up_stays_until_its_event_is_confirmed(bench: Bench) -> None:
    bench.child.trouble = lambda _request: ObjectRefused("it takes no object of this size")
    async with running(bench, telling=False):
        await bench.put("a")
        await asyncio.sleep(0.6)
        assert bench.files.size("a") == 3


# -- what is stored already ------------------------------------------------------------------------------------------


async def test_a_photo_that_is_posted_every_day_is_looked_for_every_day(bench: Bench) -> None:
    """A rule of the store's deletes it meanwhile: its use is no proof that it is there."""
    begin = bench.now
    async with running(bench):
        for n in range(20):
            bench.now = begin + n * 0.9 * DAY_S
            if n == 8:
                bench.child.objects.clear()
            await bench.put(f"k{n}")
            await bench.ended(f"k{n}")
    assert bench.child.puts == 2
    assert 8 <= bench.child.looks <= 10


async def test_within_a_day_of_a_look_none_is_needed(bench: Bench) -> None:
    async with running(bench):
        for n in range(5):
            bench.now += 3600
            await bench.put(f"k{n}")
            await bench.ended(f"k{n}")
    assert (bench.child.puts, bench.child.looks) == (1, 0)


# -- what is told again ----------------------------------------------------------------------------------------------


def told_again(bench: Bench, key: str, *, on_disk: bool = False, **fields: Any) -> Any:
    """What `backfill` with `days` does with a message whose record is still there, or is not."""
    return bench.put(key, on_disk=on_disk, keep=True, **fields)


async def test_one_that_was_stored_is_told_again_with_its_url(bench: Bench) -> None:
    async with running(bench):
        await bench.put("a")
        await bench.ended("a")
        await told_again(bench, "a")
        first, second = await bench.count(2)
    assert first == second
    assert (bench.child.puts, bench.child.looks) == (1, 0)


async def test_one_whose_record_has_expired_is_answered_from_what_is_known_of_its_content(bench: Bench) -> None:
    async with running(bench):
        await bench.put("a")
        await bench.ended("a")
        bench.now += 31 * DAY_S
        bench.ready = True
        await bench.redis.delete(NAMES.media, NAMES.media_stored)
        await told_again(bench, "a", sent_at=bench.now - 31 * DAY_S)
        first, second = await bench.count(2)
    assert (second["status"], second["url"]) == ("stored", first["url"])
    assert (bench.child.puts, bench.child.looks) == (1, 1)


async def test_one_of_which_nothing_is_remembered_is_found_in_the_store_itself(bench: Bench) -> None:
    async with running(bench):
        await bench.put("a")
        await bench.ended("a")
        bench.now += 61 * DAY_S
        bench.ready = True
        await bench.redis.delete(NAMES.media, NAMES.media_stored, NAMES.media_urls)
        await told_again(bench, "a", sent_at=bench.now - 61 * DAY_S)
        first, second = await bench.count(2)
    assert (second["status"], second["url"], second["size"]) == ("stored", first["url"], 3)
    assert bench.child.puts == 1


async def test_what_was_told_as_stored_is_not_told_as_failed_when_nobody_has_it_any_more(bench: Bench) -> None:
    """A rule of the store's has deleted the object, and WhatsApp has the file no more."""
    async with running(bench):
        await bench.put("a")
        await bench.ended("a")
        bench.now += 10 * DAY_S
        bench.child.objects.clear()
        bench.child.trouble = lambda _request: ObjectRefused("stands for whatever is final")
        await told_again(bench, "a", on_disk=True)
        first, second = await bench.count(2)
    assert (second["status"], second["url"], second["error"]) == ("stored", first["url"], None)


@pytest.mark.parametrize("value", [None, "{", "[]"])
async def test_one_of_which_nothing_can_be_known_is_told_and_found_among_the_dead_letters(
    bench: Bench, value: str | None
) -> None:
    key = f"false_{CHAT}_ID_393331111111@c.us"
    if value is not None:
        await bench.redis.hset(NAMES.media, key, value)
    await bench.redis.zadd(NAMES.media_due, {key: bench.now})
    async with running(bench):
        [media] = await bench.ended(key)
        assert (media["chat_id"], media["status"], media["error"]) == (CHAT, "failed", "unfetchable")
        async with asyncio.timeout(30):
            while await bench.redis.zcard(NAMES.media_due):
                await asyncio.sleep(0.005)
    assert [record.key for record in await bench.ledger.failed()] == [key]
