"""What is followed: rules, and since when."""

from pathlib import Path
from typing import Any

import pytest
from fakeredis.aioredis import FakeRedis

from browser_agent.follow import Follow
from browser_agent.follow_rules import Chat, FollowRules, nearly_words
from whatsapp_contract.errors import StoreUnavailable
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
GROUP, OTHER, PERSON = "120363000000000001@g.us", "120363000000000002@g.us", "393331111111@c.us"
FAMILY, WORK = Chat((GROUP,), None, True), Chat((OTHER,), None, True)


@pytest.fixture
def redis() -> Any:
    return FakeRedis(decode_responses=True)


@pytest.mark.parametrize(
    ("rules", "chat", "name", "is_group", "followed"),
    [
        (["groups"], GROUP, "Family", True, True),
        (["groups"], PERSON, "Anna", False, False),
        (["private"], PERSON, None, False, True),
        (["all"], PERSON, None, False, True),
        (["all"], "status@broadcast", None, False, False),
        (["all"], "1@newsletter", "News", False, False),
        (["1@newsletter"], "1@newsletter", "News", False, False),
        ([GROUP], GROUP, None, True, True),
        ([GROUP], OTHER, None, True, False),
        (["Family*"], GROUP, "family photos", True, True),
        (["Family*"], GROUP, None, True, False),
        (["F?mily @ home"], GROUP, "Family @ home", True, True),
        ([PERSON.split("@", maxsplit=1)[0]], PERSON, "Anna", False, True),
        (["private", f"! +{PERSON.split('@', maxsplit=1)[0]}"], PERSON, "Anna", False, False),
        (["groups", "!Work*"], GROUP, "Work and more", True, False),
        (["groups", f"!{GROUP}"], GROUP, "Family", True, False),
        (["!Work*"], GROUP, "Family", True, False),
        (["all", "!Work*"], GROUP, None, True, False),
        (["Photos [2024]"], GROUP, "Photos [2024]", True, True),
        (["me@work*"], GROUP, "Me@work and play", True, True),
        ([], GROUP, "Family", True, False),
    ],
)
def test_rules(rules: list[str], chat: str, name: str | None, is_group: bool, followed: bool) -> None:
    assert FollowRules(rules).follows(Chat((chat,), name, is_group)) is followed


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("group", "groups"),
        ("Group", "groups"),
        ("gruops", "groups"),
        ("'groups'", "groups"),
        ("! privat", "private"),
        ("prviate", "private"),
        ("alll", "all"),
        ("groups", None),
        ("Private", None),
        ("!all", None),
        ("group*", None),
        ("Group A", None),
        ("Grandpa", None),
        ("family", None),
        (GROUP, None),
        (PERSON, None),
        ("+393331111111", None),
    ],
)
def test_a_name_that_is_nearly_a_word(rule: str, word: str | None) -> None:
    assert nearly_words(["groups", rule]) == ({} if word is None else {rule: word})


def test_a_person_is_followed_under_either_address() -> None:
    chat = Chat(("100000000000011@lid", PERSON), "Anna", False)
    assert FollowRules([PERSON]).follows(chat)
    assert not FollowRules(["all", f"!{PERSON}"]).follows(chat)


async def test_a_change_by_command_outlives_the_agent_until_the_variable_changes(redis: Any, tmp_path: Path) -> None:
    follow = Follow(redis, NAMES, ("groups",), tmp_path / "f")
    await follow.load()
    await follow.change((GROUP,))
    again = Follow(redis, NAMES, ("groups",), tmp_path / "f")
    await again.load()
    assert again.rules == (GROUP,)
    configured = Follow(redis, NAMES, ("all",), tmp_path / "f")
    await configured.load()
    assert configured.rules == ("all",)
    kept = Follow(redis, NAMES, ("all",), tmp_path / "f")
    await kept.load()
    assert kept.rules == ("all",)
    assert kept.since_s == configured.since_s


async def test_a_chat_that_is_taken_in_begins_now_and_one_that_stays_loses_nothing(redis: Any, tmp_path: Path) -> None:
    follow = Follow(redis, NAMES, (GROUP,), tmp_path / "f")
    await follow.load()
    assert follow.followed_since_s(FAMILY) == 0
    await follow.change(("groups",))
    assert follow.followed_since_s(FAMILY) == 0
    since = follow.followed_since_s(WORK)
    assert since == follow.since_s
    await follow.change((OTHER,))
    assert follow.followed_since_s(WORK) == since
    assert follow.followed_since_s(FAMILY) == float("inf")
    await follow.change(("groups",))
    assert follow.followed_since_s(FAMILY) == follow.since_s


async def test_rules_that_cannot_be_kept_are_not_taken(tmp_path: Path) -> None:
    away = FakeRedis(connected=False)
    follow = Follow(away, NAMES, ("groups",), tmp_path / "f")
    with pytest.raises(StoreUnavailable):
        await follow.change(("all",))
    assert follow.rules == ("groups",)


async def test_what_cannot_be_read_gives_way_to_the_configured(redis: Any, tmp_path: Path) -> None:
    await redis.set(NAMES.follow, "{odd")
    follow = Follow(redis, NAMES, ("private",), tmp_path / "f")
    await follow.load()
    assert follow.rules == ("private",)


async def test_many_changes_in_a_row_end_no_run_of_a_chat_that_was_followed_all_along(
    redis: Any, tmp_path: Path
) -> None:
    follow = Follow(redis, NAMES, (GROUP,), tmp_path / "f")
    await follow.load()
    for number in range(50):
        await follow.change((GROUP, f"12036300000000{number:04}@g.us"))
    assert follow.followed_since_s(FAMILY) == 0


async def test_a_redis_that_lost_the_rules_gets_them_again(redis: Any, tmp_path: Path) -> None:
    follow = Follow(redis, NAMES, ("groups",), tmp_path / "f")
    await follow.load()
    await follow.change((GROUP,))
    await redis.flushall()
    await follow.keep_again()
    again = Follow(redis, NAMES, ("groups",), tmp_path / "f")
    await again.load()
    assert again.rules == (GROUP,)


async def test_rules_come_with_the_session_to_a_redis_that_has_none(redis: Any, tmp_path: Path) -> None:
    follow = Follow(redis, NAMES, ("groups",), tmp_path / "f")
    await follow.load()
    await follow.change((GROUP,))
    (tmp_path / "f").write_text(follow.dump())
    await redis.flushall()
    moved = Follow(redis, NAMES, ("groups",), tmp_path / "f")
    await moved.load()
    assert moved.rules == (GROUP,)
    assert moved.followed_since_s(FAMILY) == 0
    assert await redis.exists(NAMES.follow)
