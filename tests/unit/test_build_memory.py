"""What is kept of builds: which was good last, which may be gone back from, and what a restart finds again."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from browser_agent.build_memory import KEPT_AT_MOST, Broken, BuildMemory
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.names import SessionNames

GOOD, OLDER, BAD = "2.3000.20", "2.3000.10", "2.3000.30"
LACKS: Broken = {"groups": ("GroupMetadataStore",)}


class Hash:
    """The one hash, as far as the memory uses it: HSET and HDEL as they are written, HGETALL."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}

    async def hgetall(self, _name: str) -> dict[str, str]:
        return dict(self.fields)

    def carry_out(self, commands: list[RedisCommand]) -> None:
        for command, _name, *given in commands:
            names = [str(one) for one in given]
            if command == "HSET":
                self.fields[names[0]] = names[1]
            else:
                for field in names:
                    self.fields.pop(field, None)


def memory(kept: Hash) -> BuildMemory:
    return BuildMemory(cast(Any, kept), SessionNames("s1"), kept.carry_out)


@pytest.fixture
def kept() -> Hash:
    return Hash()


async def test_what_is_taken_is_news_once_also_after_a_restart(kept: Hash) -> None:
    before = memory(kept)
    is_news, commands = before.take(BAD, LACKS)
    before.write(commands)
    after = memory(kept)
    await after.load()
    assert (is_news, after.take(BAD, LACKS)[0], after.known[BAD].broken) == (True, False, LACKS)
    assert after.take(BAD, {})[0]  # another wa-js, say
    assert after.known[BAD].first_seen_at == before.known[BAD].first_seen_at


def test_the_good_builds_are_others_and_still_good(kept: Hash) -> None:
    builds = memory(kept)
    assert builds.good_ones(BAD) == []
    for version in (OLDER, GOOD):
        builds.take(version, {})
    builds.known[OLDER] = builds.known[OLDER].model_copy(update={"good_at": datetime.now(UTC) - timedelta(days=1)})
    builds.take(BAD, LACKS)
    assert builds.good_ones(BAD) == [GOOD, OLDER]
    assert builds.good_ones(f"{GOOD}-alpha") == [OLDER]  # the same build
    builds.take(GOOD, LACKS)
    assert builds.good_ones(BAD) == [OLDER]


async def test_a_fallback_is_remembered_until_it_ends(kept: Hash) -> None:
    builds = memory(kept)
    builds.write(builds.take(BAD, LACKS)[1])
    builds.write(builds.go_back(BAD, GOOD))
    again = memory(kept)
    await again.load()
    assert again.fallback is not None
    assert (again.fallback.bad, again.fallback.good) == (BAD, GOOD)
    assert again.may_go_back_from(BAD)
    again.write(again.end_fallback(keep_bad=True))
    last = memory(kept)
    await last.load()
    assert last.fallback is None
    assert not last.may_go_back_from(BAD)
    last.take(BAD, LACKS)
    assert not last.may_go_back_from(BAD)


def test_a_build_without_a_number_is_not_gone_back_from(kept: Hash) -> None:
    builds = memory(kept)
    builds.take("scripts-0badcafe", LACKS)
    assert not builds.may_go_back_from("scripts-0badcafe")


async def test_how_often_it_was_gone_back_within_a_day_is_remembered(kept: Hash) -> None:
    now = [datetime(2026, 11, 1, tzinfo=UTC)]

    async def restarted() -> BuildMemory:
        builds = BuildMemory(cast(Any, kept), SessionNames("s1"), kept.carry_out, lambda: now[0])
        await builds.load()
        return builds

    for hours, times in ((0, 1), (10, 2), (13, 3), (2, 3)):  # the first is a day old by then
        now[0] += timedelta(hours=hours)
        builds = await restarted()
        builds.write(builds.take(BAD, LACKS)[1])
        builds.write(builds.go_back(BAD, GOOD))
        builds.write(builds.keep_fallback())
        again = await restarted()
        assert again.times_gone_back() == times
        assert again.fallback == builds.fallback
        assert set(again.known) == {BAD}
        again.write(again.end_fallback(keep_bad=False))


def test_what_a_clock_that_was_ahead_left_in_the_future_counts_for_nothing(kept: Hash) -> None:
    now = [datetime(2036, 11, 1, tzinfo=UTC)]
    builds = BuildMemory(cast(Any, kept), SessionNames("s1"), kept.carry_out, lambda: now[0])
    for _ in range(3):
        builds.go_back(BAD, GOOD)
    assert builds.times_gone_back() == 3  # of this very moment
    now[0] = datetime(2026, 11, 1, tzinfo=UTC)
    assert builds.times_gone_back() == 0
    builds.go_back(BAD, GOOD)
    assert builds.times_gone_back() == 1


async def test_a_redis_that_lags_behind_does_not_bring_back_a_fallback_that_ended(kept: Hash) -> None:
    builds = memory(kept)
    await builds.load()
    builds.take(BAD, LACKS)
    builds.write(builds.go_back(BAD, GOOD))
    builds.end_fallback(keep_bad=False)  # not written yet
    await builds.load()
    assert builds.fallback is None


async def test_the_oldest_are_forgotten_and_what_cannot_be_read_is_passed_over(kept: Hash) -> None:
    kept.fields = {"2.3000.1": "{", "fallback": "5"}
    builds = memory(kept)
    await builds.load()
    assert (builds.known, builds.fallback) == ({}, None)
    kept.fields.clear()
    for number in range(KEPT_AT_MOST + 5):
        builds.write(builds.take(f"2.3000.{number}", {})[1])
    assert set(kept.fields) == set(builds.known)
    assert min(int(version.split(".")[2]) for version in kept.fields) == 5
    assert len(kept.fields) == KEPT_AT_MOST


def test_the_build_on_show_is_not_forgotten_for_a_clock_that_was_set_back(kept: Hash) -> None:
    builds = memory(kept)
    for number in range(KEPT_AT_MOST):
        builds.take(f"2.3000.{number}", {})
    ahead = datetime.now(UTC) + timedelta(days=1)
    builds.known = {
        version: build.model_copy(update={"last_seen_at": ahead}) for version, build in builds.known.items()
    }
    builds.take(BAD + "000", LACKS)
    assert builds.may_go_back_from(BAD + "000")
    assert len(builds.known) == KEPT_AT_MOST
