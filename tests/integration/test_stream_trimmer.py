"""The stream is cut behind what every group has acknowledged, and within its maximum. On a real Redis."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence, Fenced
from browser_agent.stream_trimmer import CLAIMS_KEPT_S, StreamTrimmer
from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_event
from whatsapp_contract.events import EventType
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async

NAMES = SessionNames("s1")
EVENTS = NAMES.events
NOW = 2_000_000_000.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as running:
        yield running


class Stream:
    """A stream, its groups and what is cut from it."""

    def __init__(self, redis: Any, fence: Fence) -> None:
        self.redis = redis
        self.fence = fence
        self.event_log = EventLog(redis, NAMES, fence)
        self.now = NOW
        self.told: list[str] = []  # alerts, also those that were cut off again
        publish = self.event_log.publish

        def noted(event_type: EventType, data: Any, **named: Any) -> None:
            self.told.append(data.message)
            publish(event_type, data, **named)

        self.event_log.publish = noted  # type: ignore[method-assign,assignment]

    def trimmer(self, maxlen: int, keep_last: int = 0, interval_s: float = 5) -> StreamTrimmer:
        return StreamTrimmer(
            self.redis,
            NAMES,
            self.fence,
            self.event_log,
            maxlen,
            interval_s=interval_s,
            keep_last=keep_last,
            clock=lambda: self.now,
        )

    async def add(self, count: int) -> list[str]:
        return [str(await add_event(self.redis, NAMES, str(n))) for n in range(count)]

    async def ids(self) -> list[str]:
        return [entry_id for entry_id, _fields in await self.redis.xrange(EVENTS)]

    async def alerts(self, having: str = "") -> list[str]:
        events = [json.loads(fields["event"]) for _id, fields in await self.redis.xrange(EVENTS)]
        data = [event.get("data", {}) for event in events]
        told = [fields["message"] for fields in data if fields.get("code") == "events_lost"]
        return [message for message in told if having in message]

    async def read(self, group: str, count: int) -> None:
        """Made if it is not there; what is read stays pending."""
        await self.make(group)
        if count:
            await self.redis.xreadgroup(group, "c", {EVENTS: ">"}, count=count)

    async def make(self, group: str) -> None:
        if group not in [facts["name"] for facts in await self.redis.xinfo_groups(EVENTS)]:
            await self.redis.xgroup_create(EVENTS, group, "0")


class _Meddled:
    """A client after whose first such answer somebody does something."""

    def __init__(self, redis: Any, after: str, meddle: Callable[[], Awaitable[Any]]) -> None:
        self.done = False
        self._redis = redis
        self._after = after
        self._meddle = meddle

    def __getattr__(self, name: str) -> Any:
        command = getattr(self._redis, name)
        if name != self._after or self.done:
            return command

        async def meddled(*given: Any, **named: Any) -> Any:
            answer = await command(*given, **named)
            self.done = True
            await self._meddle()
            return answer

        return meddled


@contextlib.asynccontextmanager
async def stream_on(server: RedisServer) -> AsyncIterator[Stream]:
    async with connect_async(server.url) as redis:
        await redis.flushall()
        fence = Fence(redis, NAMES)
        await fence.take()
        stream = Stream(redis, fence)
        running = asyncio.create_task(stream.event_log.run())
        try:
            yield stream
        finally:
            await stream.event_log.flushed(20)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def stream(server: RedisServer) -> AsyncIterator[Stream]:
    async with stream_on(server) as made:
        yield made


async def test_what_all_have_acknowledged_goes(stream: Stream) -> None:
    ids = await stream.add(10)
    await stream.read("a", 8)
    await stream.redis.xack(EVENTS, "a", *ids[:8])
    await stream.read("b", 6)
    await stream.redis.xack(EVENTS, "b", *ids[:3], ids[4])
    await stream.trimmer(100).trim()
    assert await stream.ids() == ids[3:]  # b has not acknowledged it
    await stream.redis.xack(EVENTS, "b", ids[3], ids[5])
    await stream.trimmer(100).trim()
    assert await stream.ids() == ids[5:]  # the last one that b was given stays


async def test_the_last_ones_stay_for_people_to_look_at(stream: Stream) -> None:
    ids = await stream.add(50)
    await stream.read("a", 50)
    await stream.redis.xack(EVENTS, "a", *ids)
    await stream.trimmer(100, keep_last=20).trim()
    assert await stream.ids() == ids[-20:]


async def test_without_a_group_only_the_maximum_counts(stream: Stream) -> None:
    ids = await stream.add(60)
    await stream.trimmer(60).trim()
    assert await stream.ids() == ids
    await stream.trimmer(50).trim()
    assert (await stream.ids())[:40] == ids[-40:]  # with some room for what comes


async def test_without_a_group_one_alert_an_hour_names_all_that_went(stream: Stream) -> None:
    """A backend may follow with XREAD alone."""
    trimmer = stream.trimmer(50)
    ids: list[str] = []
    for hours in (0.0, 0.1, 0.5, 0.99):
        stream.now = NOW + hours * 3600
        ids += await stream.add(60)
        await trimmer.trim()
        assert await stream.event_log.flushed(20)
    [first] = stream.told
    assert f"went, 20: from {ids[0]} (seq 1) to {ids[19]} (seq 20). There is no consumer group" in first
    stream.now = NOW + 3600
    await trimmer.trim()
    assert await stream.event_log.flushed(20)
    assert len(stream.told) == 2
    assert f"from {ids[20]} (seq 21) to " in stream.told[1]
    stream.now = NOW + 9 * 3600
    await trimmer.trim()
    assert len(stream.told) == 2


async def test_a_group_that_goes_while_it_is_looked_at_is_looked_at_again(stream: Stream) -> None:
    """XGROUP DESTROY is what an operator is told to do about a stream that is too long."""
    await stream.add(60)
    await stream.read("a", 30)
    at_once = _Meddled(stream.redis, "xinfo_groups", lambda: stream.redis.xgroup_destroy(EVENTS, "a"))
    trimmer = StreamTrimmer(at_once, NAMES, stream.fence, stream.event_log, 20, keep_last=0)  # type: ignore[arg-type]
    await trimmer.trim()
    assert at_once.done
    await trimmer.trim()
    assert len(await stream.ids()) <= 20


@pytest.mark.parametrize("after", ["xlen", "xrange", "eval"])
async def test_a_stream_that_goes_while_it_is_looked_at_is_no_trouble(stream: Stream, after: str) -> None:
    await stream.add(60)
    await stream.read("a", 30)
    emptied = _Meddled(stream.redis, after, lambda: stream.redis.delete(EVENTS))
    trimmer = StreamTrimmer(emptied, NAMES, stream.fence, stream.event_log, 20, keep_last=0)  # type: ignore[arg-type]
    await trimmer.trim()
    assert emptied.done
    await stream.add(30)
    await trimmer.trim()
    assert len(await stream.ids()) <= 20


async def test_a_group_that_was_just_made_holds_everything(stream: Stream) -> None:
    ids = await stream.add(20)
    await stream.read("a", 20)
    await stream.redis.xack(EVENTS, "a", *ids)
    await stream.make("new")
    await stream.trimmer(100).trim()
    assert await stream.ids() == ids


async def test_above_the_maximum_the_oldest_go_and_one_alert_names_them(stream: Stream) -> None:
    ids = await stream.add(120)
    for group, acknowledged in (("ahead", 120), ("behind", 5), ("far-behind", 2)):
        await stream.read(group, acknowledged + 1 if acknowledged < 120 else 120)
        await stream.redis.xack(EVENTS, group, *ids[:acknowledged])
    await stream.trimmer(100).trim()
    (alert,) = await stream.alerts()
    left = await stream.ids()
    # Two were acknowledged by all; 30 were to go.
    assert left[:-1] == ids[30:]
    assert f"28 of which were not acknowledged: from {ids[2]} (seq 3) to {ids[29]} (seq 30)" in alert
    assert "Behind: behind, far-behind." in alert


async def test_what_was_acknowledged_is_not_told_as_lost(stream: Stream) -> None:
    ids = await stream.add(40)
    await stream.read("a", 40)
    await stream.redis.xack(EVENTS, "a", *ids[1:3], *ids[4:])
    await stream.trimmer(20).trim()
    (alert,) = await stream.alerts()
    assert f"2 of which were not acknowledged: from {ids[0]} (seq 1) to {ids[3]} (seq 4)" in alert


async def test_what_was_lost_while_pending_holds_nothing_more(stream: Stream) -> None:
    ids = await stream.add(40)
    await stream.read("a", 30)
    await stream.redis.xack(EVENTS, "a", *ids[1:30])
    await stream.trimmer(38).trim()
    assert len(await stream.alerts()) == 1
    await stream.trimmer(100).trim()
    assert (await stream.ids())[:-1] == ids[29:]


@pytest.mark.parametrize("maxlen", [1, 2, 15, 1000])
async def test_alerts_are_rare(stream: Stream, maxlen: int) -> None:
    await stream.add(maxlen)
    await stream.read("a", 1)
    trimmer = stream.trimmer(maxlen, keep_last=1000)
    alerts = 0
    for _ in range(30):
        await stream.add(1)
        before = int(await stream.redis.xlen(EVENTS))
        await trimmer.trim()
        alerts += before > maxlen
        assert len(await stream.ids()) <= maxlen
    assert alerts <= {1: 30, 2: 30, 15: 6, 1000: 4}[maxlen]


async def test_a_stream_that_is_far_too_long_is_cut_step_by_step(stream: Stream) -> None:
    async with stream.redis.pipeline(transaction=False) as pipeline:
        for _ in range(25_000):
            pipeline.xadd(EVENTS, {"event": "{}"})
        await pipeline.execute()
    await stream.make("a")
    await stream.trimmer(1000).trim()
    assert len(await stream.alerts()) == 3
    assert await stream.redis.xlen(EVENTS) <= 1000


async def test_a_fenced_agent_does_not_trim(stream: Stream) -> None:
    await stream.add(20)
    await Fence(stream.redis, NAMES).take()
    trimmer = stream.trimmer(10)
    with pytest.raises(Fenced):
        await trimmer.run()
    assert len(await stream.ids()) == 20


async def test_an_epoch_that_rises_meanwhile_is_our_own(stream: Stream) -> None:
    await stream.add(20)
    await asyncio.gather(stream.trimmer(10).trim(), stream.fence.take(50))
    assert len(await stream.ids()) <= 10


async def test_claims_do_not_grow_for_ever(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = {f"k{n}": NOW - CLAIMS_KEPT_S + n - 5 for n in range(20)}
    await stream.redis.zadd(NAMES.claims, claims)
    await stream.trimmer(10).trim()
    assert await stream.redis.zrange(NAMES.claims, 0, -1) == [f"k{n}" for n in range(5, 20)]
    monkeypatch.setattr("browser_agent.stream_trimmer.CLAIMS_AT_MOST", 4)
    await stream.trimmer(10).trim()
    assert await stream.redis.zrange(NAMES.claims, 0, -1) == ["k16", "k17", "k18", "k19"]
    await stream.redis.delete(NAMES.claims)
    await stream.trimmer(10).trim()


async def test_an_outage_of_redis_is_waited_for(redis_server: RedisServer) -> None:
    async with stream_on(redis_server) as stream:
        await stream.add(20)
        running = asyncio.create_task(stream.trimmer(10, interval_s=0.1).run())
        await asyncio.to_thread(redis_server.stop)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(redis_server.start)
        await stream.add(30)
        async with asyncio.timeout(30):
            while await stream.redis.xlen(EVENTS) > 10:
                await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


GROUPS = ("a", "b")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 8)),
        st.tuples(st.just("read"), st.sampled_from(GROUPS), st.integers(0, 12)),
        st.tuples(st.just("ack"), st.sampled_from(GROUPS), st.integers(0, 3), st.integers(1, 12)),
        st.tuples(st.just("destroy"), st.sampled_from(GROUPS)),
        st.tuples(st.just("trim")),
    ),
    min_size=10,
    max_size=50,
)


class Model:
    """What each group was given and has acknowledged, beside the stream that it tells to do the same."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.everything: list[str] = []
        self.given: dict[str, int] = {}
        self.pending: dict[str, list[str]] = {}

    async def add(self, count: int) -> None:
        self.everything += await self.stream.add(count)

    async def read(self, group: str, count: int) -> None:
        if not self.everything:
            return
        await self.stream.make(group)
        self.given.setdefault(group, 0)
        found = await self.stream.redis.xreadgroup(group, "c", {EVENTS: ">"}, count=count) if count else []
        ids = [entry_id for _stream, entries in found for entry_id, _fields in entries]
        self.pending.setdefault(group, []).extend(ids)
        if ids:
            self.given[group] = self.everything.index(ids[-1]) + 1

    async def ack(self, group: str, start: int, count: int) -> None:
        if ids := self.pending.get(group, [])[start : start + count]:
            await self.stream.redis.xack(EVENTS, group, *ids)
            del self.pending[group][start : start + count]

    async def destroy(self, group: str) -> None:
        if self.pending.pop(group, None) is not None:
            await self.stream.redis.xgroup_destroy(EVENTS, group)
            del self.given[group]

    def lacks(self, group: str) -> set[str]:
        return {*self.pending[group], *self.everything[self.given[group] :]}


@settings(max_examples=150)
@given(steps=STEPS, keep_last=st.integers(0, 10), maxlen=st.sampled_from([15, 1000]))
async def test_nothing_goes_unacknowledged_below_the_maximum(
    server: RedisServer, steps: list[Any], keep_last: int, maxlen: int
) -> None:
    async with stream_on(server) as stream:
        model = Model(stream)
        for name, *args in [*steps, ("trim",)]:
            if name != "trim":
                await getattr(model, name)(*args)
                continue
            before, alerts_before = await stream.ids(), await stream.alerts("Behind")
            await stream.trimmer(maxlen, keep_last).trim()
            assert await stream.event_log.flushed(20)
            after, alerts = await stream.ids(), await stream.alerts("Behind")
            model.everything += [entry_id for entry_id in after if entry_id not in before]  # an alert
            gone = before[: len(before) - len(set(before) & set(after))]
            assert [*gone, *after][: len(before)] == before  # the oldest, and no other
            lacking = {group: model.lacks(group) & set(gone) for group in model.given}
            lost = sorted(set().union(*lacking.values()), key=before.index)
            assert len(after) <= maxlen
            if len(before) <= maxlen:
                assert not lost
                assert alerts == alerts_before
                assert set(gone).isdisjoint(before[len(before) - keep_last :])
                assert model.given or not gone
                _assert_short(model, after, keep_last)
            elif lost:
                (alert,) = [alert for alert in alerts if alert not in alerts_before]
                assert f" {len(lost)} of which were not acknowledged: from {lost[0]} " in alert
                assert f" to {lost[-1]} " in alert
                assert f"Behind: {', '.join(sorted(group for group in lacking if lacking[group]))}." in alert


def _assert_short(model: Model, left: list[str], keep_last: int) -> None:
    """Nothing is left that could have gone; but for the last one that a group was given."""
    if model.given:
        held = [entry_id for entry_id in left if any(entry_id in model.lacks(group) for group in model.given)]
        first_held = left.index(held[0]) if held else len(left)
        assert first_held <= 1 or len(left) <= keep_last
