"""The photo ledger: one step with the events, worked off from `due`, bounded. On fakeredis with Lua."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import fakeredis
import pytest

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.media.keys import extension, media_key
from browser_agent.media.ledger import STORED_FOR_S, Ledger
from browser_agent.media.policy import (
    ATTEMPTS,
    CRASHES,
    GONE_ATTEMPTS,
    INTERRUPTIONS,
    LONGEST_RETRY_S,
    Again,
    GivenUp,
    Problem,
    after,
    is_suspect,
)
from browser_agent.session.keys import checked
from tests.harness.messages import message_with
from whatsapp_contract.events import EventType, MediaRef, MessageData
from whatsapp_contract.media_record import MediaRecord, MediaState
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
SENT_AT = datetime(2026, 11, 23, 23, 59, tzinfo=UTC)


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    async with fakeredis.FakeAsyncRedis(decode_responses=True) as client:
        yield client


@contextlib.asynccontextmanager
async def running_log(redis: Any, epoch: int = 1) -> AsyncIterator[EventLog]:
    fence = Fence(redis, NAMES)
    fence.epoch = epoch
    log = EventLog(redis, NAMES, fence)
    running = asyncio.create_task(log.run())
    try:
        yield log
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def carry_out(redis: Any, *lists: Any) -> None:
    """As the event log does."""
    async with running_log(redis, epoch=int(await redis.incr("epochs"))) as log:
        for commands in lists:
            log.write(commands)
        assert await log.flushed(5)


def message(key: str, *, status: Any = "pending", **media: Any) -> MessageData:
    ref: dict[str, Any] = {
        "mimetype": "image/jpeg",
        "size": 3,
        "sha256": "ab" * 32,
        "filename": None,
        "width": 1,
        "height": 1,
    } | media
    return message_with(MediaRef(status=status, **ref), key, SENT_AT, "1@g.us")


def stored(record: MediaRecord, at: float = 2000.0, url: str = "s3://b/k") -> MediaRecord:
    return record.changed(state=MediaState.STORED, url=url, ended_at=at)


def failed(record: MediaRecord, at: float = 2000.0) -> MediaRecord:
    return record.changed(state=MediaState.FAILED, error="gone", ended_at=at)


async def put(redis: Any, ledger: Ledger, *keys: str) -> list[MediaRecord]:
    await carry_out(redis, ledger.commands_for(*[message(key) for key in keys]))
    known = await ledger.records(keys)
    return [known[key] for key in keys]


async def counts(redis: Any) -> tuple[int, int, int]:
    """How many are due, stored and failed."""
    due, stored_, failed_ = [await redis.zcard(n) for n in (NAMES.media_due, NAMES.media_stored, NAMES.media_failed)]
    return due, stored_, failed_


async def test_a_message_and_its_file_s_entry_are_one_step(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    async with running_log(redis) as log:
        for key in ("a", "b"):
            data = message(key)
            log.publish(EventType.MESSAGE, data, claim=key, also=ledger.commands_for(data))
        assert await log.flushed(5)
    assert [json.loads(fields["event"])["data"]["key"] for _, fields in await redis.xrange(NAMES.events)] == ["a", "b"]
    due = (await ledger.due(float("inf"), 10)).records
    assert sorted((record.key, record.state, record.sha256, record.size) for record in due) == [
        ("a", MediaState.SEEN, "ab" * 32, 3),
        ("b", MediaState.SEEN, "ab" * 32, 3),
    ]


@pytest.mark.parametrize("data", [message("a", status="skipped"), message("a").model_copy(update={"media": None})])
def test_what_is_not_to_be_fetched_is_not_in_the_ledger(data: MessageData) -> None:
    assert Ledger(None, NAMES).commands_for(data) == []  # type: ignore[arg-type]


async def test_a_message_told_again_leaves_the_record_and_makes_it_due_to_be_told_again(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    [record] = await put(redis, ledger, "a")
    await carry_out(redis, ledger.ended(stored(record)))
    assert (await ledger.due(float("inf"), 10)).records == []
    await put(redis, ledger, "a")
    [again] = (await ledger.due(float("inf"), 10)).records
    assert (again.state, again.url) == (MediaState.STORED, "s3://b/k")
    await carry_out(redis, ledger.told_again(again))
    assert (await ledger.due(float("inf"), 10)).records == []


async def test_the_newest_and_the_oldest_that_are_due_come_in_turn_and_not_before_their_time(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    records = await put(redis, ledger, "a", "b", "c")
    await carry_out(redis, *[ledger.due_again(r, at) for r, at in zip(records, (30.0, 10.0, 20.0), strict=True)])
    assert [record.key for record in (await ledger.due(25.0, 10)).records] == ["c", "b"]
    assert [record.key for record in (await ledger.due(99.0, 2)).records] == ["a", "b"]
    assert [record.key for record in (await ledger.due(99.0, 2, besides=["a"])).records] == ["b", "c"]
    assert not (await ledger.due(99.0, 2)).is_all
    assert (await ledger.due(99.0, 4)).is_all
    assert await ledger.next_due_after(10.0) == 20.0
    assert await ledger.due_keys() == ["b", "c", "a"]


async def test_what_was_just_sent_comes_before_what_was_sent_long_ago_and_is_found_later(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    now = datetime.now(UTC)
    told = [message(key).model_copy(update={"sent_at": at}) for key, at in (("live", now), ("a", SENT_AT), ("b", now))]
    told[1] = told[1].model_copy(update={"sent_at": datetime(2020, 1, 1, tzinfo=UTC)})
    told[2] = told[2].model_copy(update={"sent_at": datetime(2020, 1, 2, tzinfo=UTC)})
    for data in told:
        await carry_out(redis, ledger.commands_for(data))
    assert [record.key for record in (await ledger.due(now.timestamp() + 1, 10)).records] == ["live", "a", "b"]


async def test_a_stored_file_is_known_by_its_content(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    [record] = await put(redis, ledger, "a")
    assert await ledger.stored_file("ab" * 32) is None
    await carry_out(redis, ledger.ended(stored(record)))
    file = await ledger.stored_file("ab" * 32)
    assert file is not None
    assert (file.url, file.size) == ("s3://b/k", 3)


async def test_a_dead_letter_is_tried_anew_and_may_be_stored_then(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    a, b = await put(redis, ledger, "a", "b")
    await carry_out(redis, ledger.ended(failed(a.changed(attempts=9))), ledger.ended(failed(b, 2001.0)))
    assert [record.key for record in await ledger.failed()] == ["a", "b"]
    dead = await ledger.failed(["a", "unknown"])
    await carry_out(redis, *ledger.tried_anew(dead, 3000.0))
    assert await counts(redis) == (1, 0, 1)
    [again] = (await ledger.due(3000.0, 10)).records
    assert (again.key, again.state, again.attempts, again.error, again.round) == ("a", MediaState.SEEN, 0, None, 1)
    await carry_out(redis, ledger.ended(stored(again)))
    assert await counts(redis) == (0, 1, 1)


async def test_what_was_stored_long_ago_is_forgotten_with_its_address_unless_that_was_used_since(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    old, same, new = await put(redis, ledger, "old", "same", "new")
    now = STORED_FOR_S + 5000.0
    old = old.changed(sha256="cd" * 32)
    await carry_out(redis, *[ledger.ended(stored(r, at)) for r, at in ((old, 1.0), (same, 2.0), (new, now - 1))])
    await carry_out(redis, *await ledger.forgettable(now))
    assert set(await ledger.records(["old", "same", "new"])) == {"new"}
    assert await redis.zrange(NAMES.media_stored, 0, -1) == ["new"]
    assert await redis.hkeys(NAMES.media_urls) == ["ab" * 32]


async def test_of_too_many_dead_letters_the_oldest_are_forgotten(redis: Any) -> None:
    ledger = Ledger(redis, NAMES, failed_at_most=2)
    records = await put(redis, ledger, "a", "b", "c")
    await carry_out(redis, *[ledger.ended(failed(r, 1.0 + n)) for n, r in enumerate(records)])
    await carry_out(redis, *await ledger.forgettable(5.0))
    assert [record.key for record in await ledger.failed()] == ["b", "c"]
    assert await redis.hkeys(NAMES.media) == ["b", "c"]


async def test_a_due_key_of_which_nothing_can_be_known_is_named(redis: Any) -> None:
    ledger = Ledger(redis, NAMES)
    await redis.zadd(NAMES.media_due, {"nobody": 1.0})
    await redis.hset(NAMES.media, "broken", "{")
    await redis.zadd(NAMES.media_due, {"broken": 1.0})
    due = await ledger.due(5.0, 10)
    assert due.records == []
    assert sorted(due.lost) == ["broken", "nobody"]
    assert (await ledger.due(5.0, 10, besides=["broken", "nobody"])).lost == []


async def test_what_is_due_once_more_is_not_forgotten(redis: Any) -> None:
    """Its message was told again after 30 days, in the moment in which it was to be forgotten."""
    ledger = Ledger(redis, NAMES)
    [record] = await put(redis, ledger, "a")
    await carry_out(redis, ledger.ended(stored(record, 1.0)))
    await put(redis, ledger, "a")
    assert await ledger.forgettable(STORED_FOR_S + 10) == []


# -- when it is tried again ----------------------------------------------------------------------------------------


def record_of(**fields: Any) -> MediaRecord:
    return MediaRecord(key="k", chat_id="c", sent_at=1.0, seen_at=1.0).changed(**fields)


def outcome(problem: Problem) -> tuple[int, str | None, float]:
    """After how many tries a file that always fails so is given up, why, and after how many seconds of waiting."""
    record, waited, tries = record_of(), 0.0, 0
    while True:
        tries += 1
        match after(record, problem, 1.0):
            case GivenUp(record=given_up):
                return tries, given_up.error, waited
            case Again(record=record, wait_s=wait_s):
                assert 0 < wait_s <= LONGEST_RETRY_S
                waited += wait_s


def test_a_file_is_given_up_for_what_it_failed_for() -> None:
    assert outcome(Problem.TOO_LARGE) == (1, "too_large", 0.0)
    assert outcome(Problem.CORRUPT)[:2] == (ATTEMPTS, "corrupt")
    assert outcome(Problem.UNFETCHABLE)[:2] == (ATTEMPTS, "unfetchable")
    tries, error, waited = outcome(Problem.GONE)
    assert (tries, error) == (GONE_ATTEMPTS, "gone")
    assert 3 * 3600 < waited < 6 * 3600


def test_what_the_page_s_end_cut_short_is_no_attempt_unless_it_always_is() -> None:
    match after(record_of(), Problem.INTERRUPTED, 1.0):
        case Again(record=record):
            assert (record.attempts, record.interrupted, record.crashed) == (0, 1, 0)
        case other:
            raise AssertionError(other)
    assert outcome(Problem.INTERRUPTED)[:2] == (INTERRUPTIONS, "unfetchable")


def test_a_file_that_the_page_dies_over_kills_it_a_few_times_at_growing_distances() -> None:
    tries, error, waited = outcome(Problem.CRASHED)
    assert (tries, error) == (CRASHES, "unfetchable")
    assert tries < 10
    assert 1000 < waited < 3600


def test_it_is_suspected_from_the_second_time_on() -> None:
    record = record_of()
    assert not is_suspect(record)
    for problem in (Problem.INTERRUPTED, Problem.CRASHED):
        again = after(record, problem, 1.0)
        assert isinstance(again, Again)
        record = again.record
    assert is_suspect(record)


# -- where it is stored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mimetype", "filename", "expected"),
    [
        ("image/jpeg", None, "jpg"),
        ("Audio/OGG; codecs=opus", None, "ogg"),
        ("application/x-odd", "report.TAR", "tar"),
        ("application/x-odd", "../../etc/passwd", "bin"),
        ("application/x-odd", "a.b/c", "bin"),
        (None, None, "bin"),
    ],
)
def test_the_extension_is_the_type_s(mimetype: str | None, filename: str | None, expected: str) -> None:
    assert extension(mimetype, filename) == expected


def test_a_file_s_key_is_of_its_message_s_day_and_a_key_of_a_store() -> None:
    key = media_key("s1", SENT_AT.timestamp(), "ab" * 32, "image/jpeg", None)
    assert key == f"media/s1/2026/11/23/{'ab' * 32}.jpg"
    assert checked(key) == key
