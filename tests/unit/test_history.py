"""The last day of checks by minutes: the worst of each, what was missed, and clocks that step."""

from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest

from whatsapp_contract import history
from whatsapp_contract.health import Verdict
from whatsapp_contract.history import CheckSeen, Minute
from whatsapp_contract.kept_records import read_kept

NOW = datetime(2026, 11, 29, 12, 0, 30, tzinfo=UTC)


def seen(at: datetime = NOW, verdict: Verdict = Verdict.HEALTHY, reason: str = "ready", **more: float) -> CheckSeen:
    return CheckSeen(at, verdict, reason, **more)  # type: ignore[arg-type]


def minute(*checks: CheckSeen) -> Minute:
    return reduce(history.together, map(history.of_check, checks))


class Kept:
    """The list, as the watchdog writes it."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def check(self, at: datetime, verdict: Verdict = Verdict.HEALTHY) -> None:
        self.kept = [history.of_check(seen(at, verdict)).to_json(), *self.kept][: history.RECORDS_KEPT]

    def checks(self, since: datetime, minutes: int) -> None:
        for n in range(minutes):
            self.check(since + timedelta(minutes=n))

    def shown(self, now: datetime) -> list[Minute | None]:
        return history.last_day(self.kept, now)


@pytest.fixture
def day() -> Kept:
    return Kept()


def test_a_minute_tells_the_worst_and_how_many() -> None:
    found = minute(
        seen(took_ms=4.2, memory_bytes=300),
        seen(verdict=Verdict.AGENT_HUNG, reason="no_reply"),
        seen(verdict=Verdict.DISCONNECTED, reason="link_stale", took_ms=9.0, memory_bytes=400),
        seen(took_ms=61.0, memory_bytes=350),
    )
    assert (found.verdict, found.reason) == (Verdict.AGENT_HUNG, "no_reply")
    assert (found.checks, found.bad, found.p50_ms, found.max_ms, found.memory_bytes) == (4, 2, 9, 61, 400)


def test_what_waits_for_a_person_or_comes_up_is_not_bad() -> None:
    found = minute(seen(verdict=Verdict.DEGRADED), seen(verdict=Verdict.WAITING_FOR_PERSON))
    assert (found.verdict, found.checks, found.bad) == (Verdict.WAITING_FOR_PERSON, 2, 0)


def test_every_verdict_has_its_place_among_the_worst() -> None:
    assert sorted(history.WORST_FIRST) == sorted(Verdict)


def test_a_minute_without_an_answer_has_no_latency() -> None:
    found = minute(seen(verdict=Verdict.AGENT_GONE))
    assert (found.p50_ms, found.max_ms, found.memory_bytes) == (None, None, None)


def test_what_is_kept_is_read_again_as_it_was() -> None:
    found = minute(seen(took_ms=4.2, memory_bytes=300), seen(took_ms=5.9))
    assert read_kept(history.Minute, found.to_json()) == found
    assert found.p50_ms == 5


@pytest.mark.parametrize("kept", [None, "", "x", "{}", '{"at": "soon"}', "[1]"])
def test_what_somebody_else_wrote_is_no_minute(kept: str | None) -> None:
    assert read_kept(history.Minute, kept) is None


def test_a_day_is_shown_with_the_minutes_in_which_nobody_looked(day: Kept) -> None:
    day.checks(NOW - timedelta(minutes=2000), 1900)
    day.check(NOW, Verdict.PAGE_HUNG)
    shown = day.shown(NOW)
    assert len(shown) == history.MINUTES
    assert [one is not None for one in shown] == [True] * 1339 + [False] * 100 + [True]
    assert shown[-1] is not None
    assert shown[-1].verdict is Verdict.PAGE_HUNG
    assert history.counts_of(shown) == (1340, 1)


def test_a_check_each_second_keeps_a_minute_small() -> None:
    found = minute(*[seen(NOW.replace(second=n % 60), took_ms=5000.0) for n in range(500)])
    assert found.checks == 500
    assert len(found.to_json()) < 500


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_steps_and_is_put_right_loses_nothing(day: Kept, hours: int) -> None:
    day.checks(NOW - timedelta(minutes=1440), 1440)
    day.checks(NOW + timedelta(hours=hours), 10)  # while it is wrong
    day.checks(NOW + timedelta(minutes=10), 10)
    shown = day.shown(NOW + timedelta(minutes=19))
    assert shown.count(None) == 10  # of those ten minutes nobody told it the time
    # The ten are where that clock had them: an hour ago, beside those of then, or ahead and not shown yet.
    assert history.counts_of(shown)[0] == 1430 + (10 if hours < 0 else 0)
    later = day.shown(NOW + timedelta(minutes=70))
    assert sum(one is not None for one in later[-11:]) == (10 if hours > 0 else 0)


def test_a_clock_that_was_years_off_leaves_what_is_shown_alone(day: Kept) -> None:
    day.checks(datetime(1970, 1, 1, tzinfo=UTC), 30)
    day.check(NOW)
    assert history.counts_of(day.shown(NOW)) == (1, 0)
