"""What the watchdog writes down of what it sees and does, on a real Redis: its day, its counters, and their size."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import Supervisor
from tests.harness.watched import NAMES, Agent, watchdog
from whatsapp_contract import history
from whatsapp_contract.counters import CheckCounts, read_check_counts
from whatsapp_contract.errors import Internal, PageTimeout, ResetUnproven
from whatsapp_contract.health import Verdict
from whatsapp_contract.history import CheckSeen, Minute
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async
from workers.check_history import CheckHistory
from workers.memory import Limits
from workers.ticks import Ticks

SESSION = SessionNames("s1")


def minutes(server: RedisServer) -> list[Minute]:
    with server.client() as redis:
        return [one for one in history.read_last_day(redis, SESSION, datetime.now(UTC)) if one is not None]


def counts(server: RedisServer) -> CheckCounts:
    with server.client() as redis:
        kept: Any = redis.hgetall(SESSION.check_counts)
    return read_check_counts(kept)


def test_checks_are_in_the_history_and_counted(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    for _ in range(2):  # and another worker
        dog = watchdog(redis_server, supervisor)
        for _ in range(2):
            dog.check()
    found = minutes(redis_server)
    assert sum(minute.checks for minute in found) == 4  # of two minutes, maybe
    assert {(minute.verdict, minute.reason, minute.bad) for minute in found} == {(Verdict.HEALTHY, "ready", 0)}
    assert all(minute.p50_ms is not None and 0 <= minute.p50_ms < 5000 for minute in found)
    counted = counts(redis_server)
    assert dict(counted.checks) == {"healthy": 4}
    assert counted.took[-1] == (float("inf"), 4)
    assert 0 < counted.took_s < 20


def test_a_check_without_an_answer_is_there_too_with_its_incident_and_rung(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    agent.errors = {"check": PageTimeout("no answer"), "reload": Internal("a bug")}
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    found = minutes(redis_server)
    assert (found[-1].verdict, found[-1].reason) == (Verdict.PAGE_HUNG, "page_timeout")
    assert sum(minute.bad for minute in found) == 2
    counted = counts(redis_server)
    assert dict(counted.checks) == {"page_hung": 2}
    assert dict(counted.incidents) == {"page_hung": 1}
    assert dict(counted.rungs) == {("reload", "failed"): 1}


def test_an_agent_that_nobody_hears_is_seen(redis_server: RedisServer, supervisor: Supervisor) -> None:
    """Nobody listens here."""
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    found = minutes(redis_server)
    assert {minute.verdict for minute in found} == {Verdict.AGENT_GONE}
    assert all(minute.p50_ms is None and minute.bad == minute.checks for minute in found)
    counted = counts(redis_server)
    assert dict(counted.rungs) == {("restart_agent", "done"): 1}
    assert counted.took[-1][1] == 0


def test_a_hold_is_counted(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    agent.verdict, agent.errors = Verdict.BROWSER_GONE, {"restart_browser": Internal("a bug")}
    dog = watchdog(redis_server, supervisor, Limits(most_restarts=1))
    for _ in range(4):
        dog.check()
    assert counts(redis_server).rungs == {("restart_browser", "failed"): 1, ("hold", "done"): 1}


@pytest.mark.parametrize(
    ("verdict", "errors", "outcome"),
    [
        (Verdict.HEALTHY, {}, "proven"),
        (Verdict.WAITING_FOR_PERSON, {}, "not_ready"),
        (Verdict.HEALTHY, {"reset": ResetUnproven("no proof")}, "unproven"),
        (Verdict.HEALTHY, {"reset": Internal("a bug")}, "failed"),
    ],
)
def test_scheduled_resets_are_counted_by_how_they_end(
    redis_server: RedisServer,
    supervisor: Supervisor,
    agent: Agent,
    verdict: Verdict,
    errors: dict[str, Exception],
    outcome: str,
) -> None:
    agent.verdict, agent.errors = verdict, errors
    watchdog(redis_server, supervisor).scheduled_reset()
    assert dict(counts(redis_server).resets) == {outcome: 1}


def test_ticks_are_counted_with_the_checks(redis_server: RedisServer, supervisor: Supervisor, agent: Agent) -> None:
    now = [1_800_000_000.0]
    ticks = Ticks(lambda second: second % 10 == 0, wall_clock=lambda: now[0], clock=lambda: now[0])
    dog = watchdog(redis_server, supervisor, ticks=ticks)
    for second, taken_at in ((0, 0.1), (10, 13.0), (40, 40.1)):
        now[0] = 1_800_000_000 + taken_at
        dog.check(1_800_000_000 + second)
    dog.check()  # of nobody's clock
    assert dict(counts(redis_server).ticks) == {"taken": 3, "late": 1, "missed": 2}


def test_a_container_that_stands_aside_writes_nothing(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    with redis_server.client() as redis:
        redis.set(NAMES.aside, "i2")
        dog = watchdog(redis_server, supervisor, ticks=Ticks(lambda second: second % 10 == 0))
        dog.check(1_800_000_000)
        dog.scheduled_reset()
        assert not redis.exists(SESSION.history, SESSION.check_counts)


def test_a_history_that_cannot_be_written_keeps_no_rung_back(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    with redis_server.client() as redis:
        redis.set(SESSION.history, "a text")
        redis.set(SESSION.check_counts, "a text")
    agent.errors["check"] = PageTimeout("no answer")
    dog = watchdog(redis_server, supervisor)
    dog.check()
    dog.check()
    assert agent.rungs() == ["reload"]


async def test_a_whole_day_is_small_and_read_by_one_command(redis_server: RedisServer) -> None:
    """docs/metrics.md has the size."""
    now = datetime.now(UTC)
    with redis_server.client() as redis:
        kept = CheckHistory(redis, SESSION)
        for n in reversed(range(history.RECORDS_KEPT)):
            for check in range(6):
                took_ms, memory_bytes = 8.0 + (n + check) % 9, 398_458_880 + 4096 * n
                seen = CheckSeen(now - timedelta(minutes=n), Verdict.HEALTHY, "ready", took_ms, memory_bytes)
                kept.keep([], seen)
        size: Any = redis.memory_usage(SESSION.history, samples=0)
    print(f"a whole day takes {size} bytes of Redis")
    assert size < 200_000
    async with connect_async(redis_server.url) as client:
        began = time.perf_counter()
        shown = await history.read_last_day_async(client, SESSION, now)
        print(f"read in {(time.perf_counter() - began) * 1000:.1f} ms")
    assert None not in shown
    assert history.counts_of(shown) == (6 * history.MINUTES, 0)
