"""What is followed: rules, and since when."""

from typing import Any

import pytest
from fakeredis.aioredis import FakeRedis

from browser_agent.follow import Follow
from browser_agent.follow_rules import FollowRules
from whatsapp_contract.errors import StoreUnavailable
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
GROUP, OTHER, PERSON = "120363000000000001@g.us", "120363000000000002@g.us", "393331111111@c.us"


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
        (["groups", "!Work*"], GROUP, "Work and more", True, False),
        (["groups", f"!{GROUP}"], GROUP, "Family", True, False),
        (["!Work*"], GROUP, "Family", True, False),
        ([], GROUP, "Family", True, False),
    ],
)
def test_rules(rules: list[str], chat: str, name: str | None, is_group: bool, followed: bool) -> None:
    assert FollowRules(rules).follows(chat, name, is_group) is followed


async def test_a_change_by_command_outlives_the_agent_until_the_variable_changes(redis: Any) -> None:
    follow = Follow(redis, NAMES, ("groups",))
    await follow.load()
    await follow.change((GROUP,))
    again = Follow(redis, NAMES, ("groups",))
    await again.load()
    assert again.rules == (GROUP,)
    configured = Follow(redis, NAMES, ("all",))
    await configured.load()
    assert configured.rules == ("all",)
    kept = Follow(redis, NAMES, ("all",))
    await kept.load()
    assert kept.rules == ("all",)
    assert kept.since_s == configured.since_s


async def test_a_chat_that_is_taken_in_begins_now_and_one_that_stays_loses_nothing(redis: Any) -> None:
    follow = Follow(redis, NAMES, (GROUP,))
    await follow.load()
    assert follow.followed_since_s(GROUP, None, True) == 0
    await follow.change(("groups",))
    assert follow.followed_since_s(GROUP, None, True) == 0
    since = follow.followed_since_s(OTHER, None, True)
    assert since == follow.since_s
    await follow.change((OTHER,))
    assert follow.followed_since_s(OTHER, None, True) == since
    assert follow.followed_since_s(GROUP, None, True) == float("inf")
    await follow.change(("groups",))
    assert follow.followed_since_s(GROUP, None, True) == follow.since_s


async def test_rules_that_cannot_be_kept_are_not_taken() -> None:
    away = FakeRedis(connected=False)
    follow = Follow(away, NAMES, ("groups",))
    with pytest.raises(StoreUnavailable):
        await follow.change(("all",))
    assert follow.rules == ("groups",)


async def test_what_cannot_be_read_gives_way_to_the_configured(redis: Any) -> None:
    await redis.set(NAMES.follow, "{odd")
    follow = Follow(redis, NAMES, ("private",))
    await follow.load()
    assert follow.rules == ("private",)
