"""Watermarks: in Redis, in the snapshot, of one account."""

from pathlib import Path
from typing import Any

import pytest
from fakeredis.aioredis import FakeRedis

from browser_agent.watermarks import Mark, Watermarks
from whatsapp_contract.events import Person
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
ME, OTHER = Person(lid="1@lid", phone="391"), Person(lid="2@lid", phone="392")
CHAT = "1@g.us"


@pytest.fixture
def redis() -> Any:
    return FakeRedis(decode_responses=True)


async def carry_out(redis: Any, *commands: Any) -> None:
    for command in commands:
        await redis.execute_command(*command)


async def filled(redis: Any, path: Path) -> Watermarks:
    marks = Watermarks(redis, NAMES, path)
    await marks.load()
    await carry_out(redis, *marks.begin(ME, 100))
    await carry_out(redis, marks.advancing(CHAT, "k", 200))
    marks.advanced(CHAT, "k", 200)
    return marks


async def test_the_next_agent_goes_on_where_this_one_was(redis: Any, tmp_path: Path) -> None:
    await filled(redis, tmp_path / "w")
    marks = Watermarks(redis, NAMES, tmp_path / "w")
    await marks.load()
    assert marks.of(CHAT) == Mark("k", 200)
    assert marks.base_t() == 100
    assert marks.begin(ME, 900) == []


async def test_a_redis_without_them_gets_those_that_came_with_the_session(redis: Any, tmp_path: Path) -> None:
    (await filled(redis, tmp_path / "w")).save()
    assert (tmp_path / "w").stat().st_mode & 0o77 == 0
    await redis.flushall()
    marks = Watermarks(redis, NAMES, tmp_path / "w")
    await marks.load()
    assert marks.of(CHAT) == Mark("k", 200)
    await carry_out(redis, *marks.all_commands())
    (tmp_path / "w").unlink()
    again = Watermarks(redis, NAMES, tmp_path / "w")
    await again.load()
    assert (again.of(CHAT), again.base_t()) == (Mark("k", 200), 100)


async def test_another_account_leaves_nothing_of_the_former_one(redis: Any, tmp_path: Path) -> None:
    marks = await filled(redis, tmp_path / "w")
    await carry_out(redis, *marks.begin(OTHER, 900))
    assert marks.of(CHAT) is None
    assert marks.base_t() == 900
    assert list(await redis.hgetall(NAMES.watermarks)) == ["*"]


@pytest.mark.parametrize("known", [Person(lid="1@lid", phone=None), Person(lid=None, phone=None)])
async def test_an_account_of_which_less_is_known_is_the_same(redis: Any, tmp_path: Path, known: Person) -> None:
    marks = await filled(redis, tmp_path / "w")
    assert marks.begin(known, 900) == []


async def test_odd_values_are_left_out(redis: Any, tmp_path: Path) -> None:
    await filled(redis, tmp_path / "w")
    await redis.hset(NAMES.watermarks, "2@g.us", "{odd")
    (tmp_path / "w").write_text("odd")
    marks = Watermarks(redis, NAMES, tmp_path / "w")
    await marks.load()
    assert (marks.of("2@g.us"), marks.of(CHAT)) == (None, Mark("k", 200))
    await redis.flushall()
    await marks.load()
    fresh = Watermarks(redis, NAMES, tmp_path / "w")
    await fresh.load()
    assert fresh.dump() is None


async def test_no_phone_number_is_kept(redis: Any, tmp_path: Path) -> None:
    marks = await filled(redis, tmp_path / "w")
    assert "391" not in (marks.dump() or "")


async def test_a_redis_that_lost_them_and_has_a_new_one_gets_the_others_from_the_snapshot(
    redis: Any, tmp_path: Path
) -> None:
    former = await filled(redis, tmp_path / "w")
    former.save()
    await redis.flushall()
    assert await former.are_lost()
    await carry_out(redis, former.advancing("2@g.us", "new", 300))
    marks = Watermarks(redis, NAMES, tmp_path / "w")
    await marks.load()
    assert (marks.of(CHAT), marks.of("2@g.us"), marks.base_t()) == (Mark("k", 200), Mark("new", 300), 100)


async def test_marks_of_an_account_that_never_had_a_name_do_not_pass_to_the_next(redis: Any, tmp_path: Path) -> None:
    marks = Watermarks(redis, NAMES, tmp_path / "w")
    await carry_out(redis, *marks.begin(Person(lid=None, phone=None), 100))
    marks.advanced(CHAT, "k", 200)
    marks.on_account_lost()
    await carry_out(redis, *marks.begin(OTHER, 900))
    assert (marks.of(CHAT), marks.base_t()) == (None, 900)
