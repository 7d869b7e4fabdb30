"""When the browser's memory is won back, and how."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis

from browser_agent.memory_cures import CureMemory, Cures
from browser_agent.memory_relief import is_quiet, relieve
from browser_agent.memory_watch import MemoryWatch, Situation, Step, next_step
from browser_agent.process_tree import TreeMemory
from whatsapp_contract.errors import Busy, PageTimeout
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.states import SessionState

OVER = Situation(of_limit=1.05, samples_over=2, is_quiet=True)


def but(**changes: object) -> Situation:
    return Situation(**{**OVER.__dict__, **changes})


def row(count: int, ago_s: float, **changes: bool) -> dict[str, Any]:
    """So many cures in a row, the last of which began so long ago."""
    return {"cures": Cures(count=count, last_at=0.0).model_copy(update=changes), "cured_ago_s": ago_s}


@pytest.mark.parametrize(
    ("situation", "step"),
    [
        # Two samples running, in a quiet moment.
        (OVER, "reload"),
        (but(samples_over=1), None),
        (but(of_limit=3.0, samples_over=1), None),
        (but(samples_over=0, of_limit=0.5), None),
        # The moment is waited for, but not for ever, and not where it is urgent.
        (but(is_quiet=False), None),
        (but(is_quiet=False, waited_s=299), None),
        (but(is_quiet=False, waited_s=300), "reload"),
        (but(is_quiet=False, of_limit=1.15), "reload"),
        # A reload has a minute to help.
        (but(reloaded_ago_s=59, **row(1, 59)), None),
        (but(reloaded_ago_s=59, of_limit=2.0, **row(1, 59)), None),
        (but(reloaded_ago_s=60, **row(1, 60)), "restart_browser"),
        (but(reloaded_ago_s=60, samples_over=1, **row(1, 60)), None),
        (but(reloaded_ago_s=60, is_quiet=False, **row(1, 60)), None),
        (but(reloaded_ago_s=400, is_quiet=False, waited_s=300, **row(1, 400)), "restart_browser"),
        (but(reloaded_ago_s=70, **row(3, 70)), "restart_browser"),
        # Each in a row waits twice as long, however bad it is; and then for its own quiet moment.
        (but(of_limit=5.0, **row(1, 599)), None),
        (but(**row(1, 600)), "reload"),
        (but(of_limit=5.0, **row(2, 1199)), None),
        (but(**row(2, 1200)), "reload"),
        (but(is_quiet=False, waited_s=1100, **row(2, 1200)), None),
        (but(is_quiet=False, waited_s=1400, **row(2, 1500)), "reload"),
        # Three did not help: a person is told, once the page has come up; then it is done once a day.
        (but(**row(3, 599)), None),
        (but(**row(3, 600)), "alert"),
        (but(is_quiet=False, **row(3, 600)), "alert"),
        (but(of_limit=5.0, **row(3, 86399, is_told=True)), None),
        (but(**row(3, 86400, is_told=True)), "reload"),
        (but(**row(4, 4000, is_told=True)), None),
        # Where the last gave room, and it is urgent again, the pause is the first one.
        (but(of_limit=1.15, **row(2, 599, gave_room=True)), None),
        (but(of_limit=1.15, **row(2, 600, gave_room=True)), "reload"),
        (but(of_limit=1.15, is_quiet=False, **row(9, 600, is_told=True, gave_room=True)), "reload"),
        (but(of_limit=1.14, **row(9, 600, is_told=True, gave_room=True)), None),
        (but(of_limit=1.15, **row(3, 600, gave_room=True)), "alert"),
        # A time that lies in the future, since the clock was set back, counts for nothing.
        (but(cures=Cures(count=1, last_at=10.0), cured_ago_s=None), "reload"),
    ],
)
def test_the_next_step(situation: Situation, step: Step | None) -> None:
    assert next_step(situation) == step


class Rig:
    """A watch whose samples are given, and whose steps are written down."""

    def __init__(self, samples: list[int | None], redis: FakeRedis | None = None, now: float = 1e6) -> None:
        self.now = now
        self.steps: list[Step] = []
        self.raises: Exception | None = None
        self.asked = asyncio.Event()
        self._samples = samples
        self.watch = MemoryWatch(
            1000,
            self._measure,
            lambda: True,
            self._take,
            CureMemory(redis or FakeRedis(), InstanceNames("sid", "i1")),
            every_s=0.001,
            epoch=lambda: self.now,
            clock=lambda: self.now,
        )

    def _measure(self) -> TreeMemory | None:
        sample = self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]
        return None if sample is None else TreeMemory(sample, 3, is_exact=True)

    async def _take(self, step: Step) -> None:
        self.steps.append(step)
        self.asked.set()
        if self.raises is not None:
            raise self.raises

    async def until_steps(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.steps) < count:
                self.asked.clear()
                await self.asked.wait()


async def run_for_samples(rig: Rig, steps: int) -> None:
    running = asyncio.create_task(rig.watch.run())
    try:
        await rig.until_steps(steps)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_what_was_seen_last_can_be_read() -> None:
    rig = Rig([700, 1100])
    assert (rig.watch.bytes, rig.watch.seen_at, rig.watch.limit_bytes) == (None, None, 1000)
    await run_for_samples(rig, 1)
    assert rig.steps == ["reload"]
    assert rig.watch.bytes == 1100
    assert rig.watch.seen_at == rig.now


async def test_samples_of_another_browser_do_not_add_up() -> None:
    """One over the limit, no browser, one over the limit: that is not twice in a row."""
    rig = Rig([1100, None, 1100, 900, 1100, 900, 1100, None, 1200, 1200])
    await run_for_samples(rig, 1)
    assert rig.watch.bytes == 1200
    assert rig.steps == ["reload"]


async def test_an_operation_that_came_first_only_puts_it_off() -> None:
    rig = Rig([1100])
    rig.raises = Busy("backup is under way")
    await run_for_samples(rig, 3)
    assert rig.steps == ["reload"] * 3


async def test_a_step_that_failed_is_not_tried_over_and_over() -> None:
    rig = Rig([1100])
    rig.raises = PageTimeout("the page did not come back")
    for _ in range(5):
        await rig.watch.look()
    assert rig.steps == ["reload"]


async def live(rig: Rig, hours: float) -> list[Step]:
    """The steps that are taken meanwhile."""
    before, end = len(rig.steps), rig.now + hours * 3600
    while rig.now < end:
        rig.now += 60
        await rig.watch.look()
    return rig.steps[before:]


async def test_a_limit_that_the_page_cannot_keep_costs_three_cures_and_an_alert_and_then_one_a_day() -> None:
    rig = Rig([1100])
    assert await live(rig, 2) == [*["reload", "restart_browser"] * 3, "alert"]
    assert await live(rig, 71) == ["reload", "restart_browser"] * 3


async def test_a_restart_of_the_agent_neither_forgets_the_cures_nor_tells_anew() -> None:
    redis = FakeRedis()
    first = Rig([1100], redis)
    assert (await live(first, 0.3)).count("reload") == 2
    second = Rig([1100], redis, first.now)
    assert await live(second, 1) == ["reload", "restart_browser", "alert"]
    third = Rig([1100], redis, second.now)
    assert await live(third, 22) == []


async def test_a_cure_that_the_agent_does_not_outlive_counts() -> None:
    redis = FakeRedis()
    rig = Rig([1100], redis)
    rig.raises = RuntimeError("as good as killed")
    with pytest.raises(RuntimeError):
        await live(rig, 0.1)
    assert await live(Rig([1100], redis, rig.now), 0.1) == []


async def test_after_a_quarter_of_an_hour_below_the_limit_the_next_cure_is_the_first_again() -> None:
    redis = FakeRedis()
    rig = Rig([1100], redis)
    await live(rig, 2)
    assert await live(Rig([900], redis, rig.now), 0.24) == []
    assert await live(Rig([1100], redis, rig.now + 3600), 1) == []  # not for long enough
    assert await live(Rig([900], redis, rig.now + 7200), 0.3) == []
    assert (await live(Rig([1100], redis, rig.now + 14400), 0.2))[0] == "reload"


class Leak(Rig):
    """A page that takes 300 when it was loaded, and reaches its limit of 1000 so many minutes later; it stays below
    `at_most`. Where loading it anew gives nothing back a new browser does."""

    def __init__(self, minutes: float, at_most: int = 10**6, reload_helps: bool = True) -> None:
        super().__init__([None])
        self.most = 0
        self._per_s = 700 / (minutes * 60)
        self._at_most = at_most
        self._gives_back = ("reload", "restart_browser") if reload_helps else ("restart_browser",)
        self._loaded_at = self.now

    def _measure(self) -> TreeMemory:
        taken = min(int(300 + self._per_s * (self.now - self._loaded_at)), self._at_most)
        self.most = max(self.most, taken)
        return TreeMemory(taken, 3, is_exact=True)

    async def _take(self, step: Step) -> None:
        await super()._take(step)
        if step in self._gives_back:
            self._loaded_at = self.now


@pytest.mark.parametrize("minutes", [20, 40, 58, 60, 65, 300])
async def test_a_leak_that_each_cure_mends_is_mended_each_time_and_nobody_is_told(minutes: float) -> None:
    leak = Leak(minutes)
    steps = await live(leak, 24)
    assert set(steps) == {"reload"}
    assert len(steps) == pytest.approx(24 * 60 / (minutes + 2), abs=2)
    assert leak.most < 1100


async def test_a_leak_that_only_a_new_browser_mends_is_mended_each_time() -> None:
    leak = Leak(40, reload_helps=False)
    steps = await live(leak, 12)
    assert steps == ["reload", "restart_browser"] * (len(steps) // 2)
    assert len(steps) > 2 * 15
    assert leak.most < 1100


@pytest.mark.parametrize("minutes", [6, 9, 12])
async def test_a_leak_of_minutes_is_told_once_and_does_not_grow_for_a_day(minutes: float) -> None:
    leak = Leak(minutes)
    steps = await live(leak, 12)
    assert steps.count("alert") == 1
    assert "restart_browser" not in steps
    assert steps.count("reload") > 12 * 3
    # Until it is urgent, or for the first pause, where that is longer; and two samples, a minute apart.
    assert leak.most <= 300 + 700 * max(0.85 / 0.7 * minutes, 10) / minutes + 700 * 2 / minutes


@pytest.mark.parametrize(
    ("minutes", "at_most"),
    [
        (3, 1100),  # a page that needs more than the limit
        (12, 1100),
        (1, 1400),  # far more, and within minutes: loading it anew is no use
    ],
)
async def test_a_limit_that_is_too_low_for_the_page_is_told_once_and_costs_one_cure_a_day(
    minutes: float, at_most: int
) -> None:
    leak = Leak(minutes, at_most)
    assert (await live(leak, 2)).count("alert") == 1
    assert await live(leak, 47) in (["reload"] * 2, ["reload", "restart_browser"] * 2)


async def test_what_another_clock_or_another_hand_left_holds_no_cure_back() -> None:
    names = InstanceNames("sid", "i1")
    for left in (Cures(count=2, last_at=2e6).model_dump_json(), '{"count": "many"}', "?"):
        redis = FakeRedis()
        await redis.set(names.memory_cures, left)
        assert (await live(Rig([1100], redis), 0.1))[0] == "reload"


async def test_while_redis_is_away_this_life_s_own_cures_count() -> None:
    server = FakeServer()
    server.connected = False
    rig = Rig([1100], FakeRedis(server=server))
    assert await live(rig, 2) == [*["reload", "restart_browser"] * 3, "alert"]
    server.connected = True
    assert await live(rig, 20) == []


# -- what the agent does ----------------------------------------------------------------------------------------------


class Agent:
    """What a relief asks of an agent, and what was done to it, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.state = SessionState.READY
        self.operation: str | None = None
        self.during_save: Callable[[], None] = lambda: None
        self.evidence = SimpleNamespace(message_event_at=None)
        self.event_log = SimpleNamespace(is_idle=True, flushed=self._flushed, publish=self._publish)
        self.sends = SimpleNamespace(is_carrying=False)
        self.media = SimpleNamespace(is_fetching=False)
        self.session = SimpleNamespace(save_if_known_good=self._save)
        self.memory = SimpleNamespace(bytes=900 * 2**20, limit_bytes=800 * 2**20)

    def page(self) -> SimpleNamespace:
        return SimpleNamespace(reload=self._reload)

    @asynccontextmanager
    async def exclusive(self, operation: str) -> AsyncIterator[None]:
        if self.operation is not None:
            raise Busy(self.operation)
        self.operation = operation
        yield
        self.operation = None

    async def _save(self, cause: str, within_s: float) -> None:
        self.done.append(f"{self.operation}: save for {cause} within {within_s:g} s")
        self.during_save()

    async def _flushed(self, _within_s: float) -> bool:
        self.done.append(f"{self.operation}: flush")
        return False  # Redis is away: events stay queued, and it goes on

    async def _reload(self) -> list[str]:
        self.done.append(f"{self.operation}: page")
        return ["reload"]

    def _publish(self, event_type: str, data: Any) -> None:
        self.done.append(f"{event_type} {data.cause if event_type == 'reset' else data.code}")

    @property
    def as_agent(self) -> Any:
        return self


async def test_only_a_moment_in_which_nothing_is_under_way_is_quiet() -> None:
    def quiet(**changes: Any) -> bool:
        agent = Agent()
        for path, value in changes.items():
            owner, _, name = path.rpartition("__")
            setattr(getattr(agent, owner) if owner else agent, name, value)
        return is_quiet(agent.as_agent)

    now = asyncio.get_running_loop().time()
    assert quiet()
    assert quiet(evidence__message_event_at=now - 10.1)
    assert not quiet(evidence__message_event_at=now - 9)
    assert not quiet(event_log__is_idle=False)
    assert not quiet(sends__is_carrying=True)
    assert not quiet(media__is_fetching=True)
    assert not quiet(operation="backup")
    assert not quiet(state=SessionState.SYNCING)
    assert not quiet(state=SessionState.AWAITING_SCAN)


async def test_a_snapshot_and_the_events_come_before_the_reload_and_hold_no_other_operation_up() -> None:
    agent = Agent()
    await relieve(agent.as_agent, "reload")
    assert agent.done == ["None: save for memory within 30 s", "None: flush", "reload: page", "reset memory"]


async def test_what_came_first_while_the_snapshot_was_taken_is_not_interrupted() -> None:
    agent = Agent()
    agent.during_save = lambda: setattr(agent, "state", SessionState.AWAITING_SCAN)
    with pytest.raises(Busy):
        await relieve(agent.as_agent, "reload")
    assert agent.done[-1] == "None: flush"


async def test_beside_another_operation_nothing_is_touched() -> None:
    agent = Agent()
    agent.operation = "backup"
    with pytest.raises(Busy):
        await relieve(agent.as_agent, "reload")
    assert agent.done == []


@pytest.mark.parametrize("state", [SessionState.AWAITING_SCAN, SessionState.SYNCING, SessionState.STARTING])
async def test_nothing_is_loaded_anew_before_a_scan_or_on_the_way_to_ready(state: SessionState) -> None:
    agent = Agent()
    agent.state = state
    with pytest.raises(Busy):
        await relieve(agent.as_agent, "restart_browser")
    assert agent.done == []


async def test_a_person_is_told_what_to_do() -> None:
    agent = Agent()
    await relieve(agent.as_agent, "alert")
    assert agent.done == ["alert memory_limit_too_low"]
