"""What the watchdog writes down: minutes and counters, over restarts, and never in its own way. On fakeredis."""

from datetime import UTC, datetime, timedelta
from typing import Any

import fakeredis
import pytest

from whatsapp_contract import counters, history
from whatsapp_contract.counters import read_check_counts
from whatsapp_contract.health import Verdict
from whatsapp_contract.history import CheckSeen
from whatsapp_contract.names import SessionNames
from workers.check_history import CheckHistory
from workers.memory import Rung

NAMES = SessionNames("s1")
NOW = datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)
WELL = CheckSeen(NOW, Verdict.HEALTHY, "ready", 4.0, 300)


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def redis(server: fakeredis.FakeServer) -> Any:
    return fakeredis.FakeStrictRedis(server=server, decode_responses=True)


def checks(redis: Any, now: datetime = NOW) -> int:
    return history.counts_of(history.read_last_day(redis, NAMES, now))[0]


def test_checks_of_a_minute_are_one_record_and_go_on_in_the_next_worker(redis: Any) -> None:
    for _ in range(3):
        CheckHistory(redis, NAMES).keep([counters.check(Verdict.HEALTHY)], WELL)
    later = CheckSeen(NOW + timedelta(minutes=1), Verdict.AGENT_GONE, "nobody_listens")
    CheckHistory(redis, NAMES).keep([counters.check(Verdict.AGENT_GONE)], later)
    *_, first, last = history.read_last_day(redis, NAMES, later.at)
    assert first is not None
    assert last is not None
    assert (first.checks, first.p50_ms, last.verdict) == (3, 4, Verdict.AGENT_GONE)
    assert redis.llen(NAMES.history) == 2
    assert dict(read_check_counts(redis.hgetall(NAMES.check_counts)).checks) == {"healthy": 3, "agent_gone": 1}


def test_it_does_not_grow(redis: Any) -> None:
    kept = CheckHistory(redis, NAMES)
    for n in range(history.RECORDS_KEPT + 50):
        kept.keep([], CheckSeen(NOW + timedelta(minutes=n), Verdict.HEALTHY, "ready"))
    assert redis.llen(NAMES.history) == history.RECORDS_KEPT
    now = NOW + timedelta(minutes=history.RECORDS_KEPT + 49)
    assert None not in history.read_last_day(redis, NAMES, now)


def test_a_clock_that_goes_to_and_fro_costs_no_check(redis: Any) -> None:
    kept = CheckHistory(redis, NAMES)
    for hours in (0, 1, 0, -1, 0):
        kept.keep([], CheckSeen(NOW + timedelta(hours=hours), Verdict.HEALTHY, "ready"))
    assert (checks(redis), checks(redis, NOW + timedelta(hours=1))) == (4, 5)


def test_a_redis_that_has_lost_all_is_written_to_again(redis: Any) -> None:
    kept = CheckHistory(redis, NAMES)
    kept.keep([], WELL)
    redis.flushall()
    kept.keep([], WELL)
    assert redis.llen(NAMES.history) == 1


def test_latencies_become_a_histogram(redis: Any) -> None:
    kept = CheckHistory(redis, NAMES)
    for took_ms in (0.4, 5.0, 5.1, 90.0, 4999.0, 5001.0, None):
        kept.keep([], CheckSeen(NOW, Verdict.HEALTHY, "ready", took_ms))
    found = read_check_counts(redis.hgetall(NAMES.check_counts))
    assert found.took == (
        (5, 2), (10, 3), (25, 3), (50, 3), (100, 4), (250, 4), (500, 4), (1000, 4), (2500, 4),
        (5000, 5), (float("inf"), 6),
    )  # fmt: skip
    assert found.took_s == pytest.approx(10.1005)


def test_what_a_session_left_alone_has_kept_expires(redis: Any) -> None:
    CheckHistory(redis, NAMES).keep([counters.check(Verdict.HEALTHY)], WELL)
    assert 0 < redis.ttl(NAMES.history) <= history.KEPT_S
    assert redis.ttl(NAMES.check_counts) == -1  # a counter only grows


@pytest.mark.parametrize("key", [NAMES.history, NAMES.check_counts])
def test_a_key_that_somebody_else_wrote_disturbs_nobody(redis: Any, key: str) -> None:
    kept = CheckHistory(redis, NAMES)
    redis.set(key, "a text")
    kept.keep([counters.check(Verdict.HEALTHY)], WELL)
    redis.delete(key)
    kept.keep([counters.check(Verdict.HEALTHY)], WELL)
    assert redis.type(key) == ("list" if key == NAMES.history else "hash")


def test_a_counter_that_is_no_number_is_passed_over(redis: Any) -> None:
    redis.hset(NAMES.check_counts, mapping={"checks:healthy": "many", "ticks:late": "-1", "rungs:x": "1", "": "3"})
    CheckHistory(redis, NAMES).keep([counters.check(Verdict.HEALTHY), counters.ticks("taken")], WELL)
    found = read_check_counts(redis.hgetall(NAMES.check_counts))
    assert (dict(found.checks), dict(found.rungs)) == ({}, {})


def test_a_redis_that_is_away_costs_what_was_seen_meanwhile(server: fakeredis.FakeServer, redis: Any) -> None:
    kept = CheckHistory(redis, NAMES)
    kept.keep([], WELL)
    server.connected = False
    kept.keep([counters.check(Verdict.HEALTHY)], CheckSeen(NOW + timedelta(minutes=1), Verdict.HEALTHY, "ready"))
    server.connected = True
    kept.keep([counters.check(Verdict.HEALTHY)], CheckSeen(NOW + timedelta(minutes=1), Verdict.HEALTHY, "ready"))
    assert checks(redis, NOW + timedelta(minutes=2)) == 2
    assert redis.llen(NAMES.history) == 2
    assert read_check_counts(redis.hgetall(NAMES.check_counts)).checks == {"healthy": 1}


def test_rungs_have_the_ladder_s_names() -> None:
    assert tuple(rung.value for rung in Rung) == counters.RUNGS
