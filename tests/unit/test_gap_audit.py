"""The audit's decisions, on a page that is a list of chats and messages."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fakeredis.aioredis import FakeRedis

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.follow import Follow
from browser_agent.gap_audit import GapAudit
from browser_agent.inbox import Inbox
from browser_agent.watermarks import Watermarks
from browser_agent.whatsapp.models import PageMessage, PageWid
from browser_agent.whatsapp.page import PageScriptFailed
from whatsapp_contract.client import event_from_entry
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
NOW = int(time.time())
DAY = 86_400
FAMILY, WORK = "1@g.us", "2@g.us"


def message(key: str, chat: str = FAMILY, t: int = NOW) -> dict[str, Any]:
    return {"key": key, "chat_id": chat, "is_group": True, "from_me": False, "type": "chat", "text": key, "t": t}


class Page:
    """What PageHistory asks of a page."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.short: set[str] = set()  # chats whose past cannot be had
        self.unreadable: set[str] = set()
        self.asked: list[tuple[str, float]] = []
        self.forgets = 0
        self.on_listing: Callable[[], None] = lambda: None

    async def account(self) -> PageWid:
        return PageWid(lid="9@lid", phone="39333@c.us")

    async def call(self, function: str, *args: Any, within_s: float = 2) -> Any:
        return getattr(self, f"_{function}")(*args)

    def _chats(self) -> Any:
        last: dict[str, int] = {}
        for one in self.messages:
            last[one["chat_id"]] = max(last.get(one["chat_id"], 0), one["t"])
        return [{"id": chat, "name": chat, "is_group": True, "t": t} for chat, t in last.items()]

    def _keysSince(self, chat: str, since: float, _within_ms: int) -> Any:  # noqa: N802  # the page's name
        self.asked.append((chat, since))
        self.on_listing()
        keys = [[one["key"], one["t"]] for one in self.messages if one["chat_id"] == chat and one["t"] > since]
        return {"keys": keys, "complete": chat not in self.short}

    def _piecesOf(self, keys: list[str]) -> Any:  # noqa: N802  # the page's name
        if self.forgets:
            self.forgets -= 1
            raise PageScriptFailed("piecesOf", "Error")
        by_key = {one["key"]: one for one in self.messages}
        return [{**by_key[key], "chat_id": 7} if key in self.unreadable else by_key[key] for key in keys]

    def _forgetPieces(self) -> None:  # noqa: N802  # the page's name
        pass


class World:
    def __init__(self, redis: Any, folder: Path) -> None:
        self.redis = redis
        self.page = Page()
        self.fence = Fence(redis, NAMES)
        self.log = EventLog(redis, NAMES, self.fence)
        self.follow = Follow(redis, NAMES, ("groups",), folder / "follow.json")
        self.marks = Watermarks(redis, NAMES, folder / "watermarks.json")
        self.inbox = Inbox(self.log, self.follow, self.marks, lambda _data: ())
        page: Any = self.page
        self.audit = GapAudit(
            redis, NAMES, self.log, self.inbox, self.follow, self.marks, 30,
            page=lambda: page, is_ready=lambda: True, give_up_after_s=0.3,
        )  # fmt: skip

    async def events(self, kind: str) -> list[dict[str, Any]]:
        await self.log.flushed(5)
        events = [event_from_entry(*entry) for entry in await self.redis.xrange(NAMES.events)]
        return [event.data for event in events if event.type == kind]

    async def told(self) -> list[str]:
        return [data["key"] for data in await self.events("message")]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(FakeRedis(decode_responses=True), tmp_path)
    await world.fence.take()
    await world.follow.load()
    await world.marks.load()
    sending = asyncio.create_task(world.log.run())
    world.audit.on_ready()
    yield world
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending


async def test_what_was_missed_is_told_oldest_first_and_once(world: World) -> None:
    world.page.messages = [message("b", t=NOW - 5), message("a", t=NOW - 10), message("c", t=NOW - 1)]
    world.inbox.take(PageMessage.model_validate(message("c", t=NOW - 1)))
    assert await world.audit._audit()
    world.audit.interrupted()
    assert await world.audit._audit()
    assert await world.told() == ["c", "a", "b"]
    assert {data["source"] for data in (await world.events("message"))[1:]} == {"backfill"}


async def test_a_chat_where_nothing_came_is_not_looked_at_again(world: World) -> None:
    world.page.messages = [message("a", t=NOW - 10 * DAY), message("b", WORK, t=NOW - 5)]
    await world.audit._audit()
    world.page.asked.clear()
    await world.audit._audit()
    assert world.page.asked == []
    world.audit.interrupted()
    await world.audit._audit()
    assert [chat for chat, _since in world.page.asked] == [WORK], "late ones of a chat that is alive"


async def test_what_has_lost_its_claim_after_a_month_is_not_told_again(world: World) -> None:
    world.page.messages = [message("a", t=NOW - 29 * DAY)]
    await world.audit._audit()
    await world.redis.delete(NAMES.claims)
    world.page.messages.append(message("b"))
    world.audit.interrupted()
    await world.audit._audit()
    assert await world.told() == ["a", "b"]


async def test_a_chat_that_is_short_holds_its_own_mark_alone_and_is_given_up_in_the_end(world: World) -> None:
    world.page.messages = [message("a"), message("b", WORK)]
    world.page.short = {FAMILY}
    assert not await world.audit._audit()
    assert await world.told() == ["a", "b"]
    assert (world.marks.of(FAMILY), world.marks.of(WORK) is not None) == (None, True)
    world.inbox.take(PageMessage.model_validate(message("live")))
    await world.log.flushed(5)
    assert world.marks.of(FAMILY) is None
    await asyncio.sleep(0.35)
    assert await world.audit._audit()
    assert world.marks.of(FAMILY) is not None
    (alert,) = await world.events("alert")
    assert alert["code"] == "gap_not_closed"
    assert FAMILY in alert["message"]


async def test_a_message_that_cannot_be_read_is_named_once_and_costs_no_other(world: World) -> None:
    world.page.messages = [message("a"), message("odd"), message("c")]
    world.page.unreadable = {"odd"}
    assert await world.audit._audit()
    world.audit.interrupted()
    await world.audit._audit()
    assert await world.told() == ["a", "c"]
    (alert,) = await world.events("alert")
    assert (alert["code"], alert["message"].rsplit(" ", 1)[1]) == ("message_unreadable", "odd")
    world.page.unreadable.clear()
    world.audit.interrupted()
    await world.audit._audit()
    assert await world.told() == ["a", "c", "odd"]


async def test_a_page_that_was_loaded_anew_amid_the_audit_names_nothing_unreadable(world: World) -> None:
    world.page.messages = [message("a")]
    world.page.forgets = 1
    with pytest.raises(PageScriptFailed):
        await world.audit._audit()
    assert await world.audit._audit()
    assert await world.told() == ["a"]
    assert await world.events("alert") == []


async def test_an_interruption_amid_the_audit_leaves_the_marks_where_they_were(world: World) -> None:
    world.page.messages = [message("a")]
    world.page.on_listing = world.audit.interrupted
    assert not await world.audit._audit()
    assert not world.inbox.is_contiguous
    assert world.marks.of(FAMILY) is None


async def test_a_chat_that_is_not_followed_moves_its_mark_without_a_word(world: World) -> None:
    await world.follow.change((WORK,))
    world.page.messages = [message("a", t=NOW - 100)]
    await world.audit._audit()
    mark = world.marks.of(FAMILY)
    assert mark is not None
    assert mark.t == NOW - 100
    assert await world.told() == []


async def test_backfill_of_some_days_tells_again_and_without_days_only_what_is_missing(world: World) -> None:
    world.page.messages = [message("a", t=NOW - 3 * DAY), message("b", t=NOW - DAY), message("c", WORK)]
    await world.audit._audit()
    result = await world.audit.backfill(None, None)
    assert (result.told, result.chats, result.complete) == (0, 2, True)
    result = await world.audit.backfill(FAMILY, 2)
    assert (result.told, result.chats) == (1, 1)
    assert sorted(await world.told()) == ["a", "b", "b", "c"]


async def test_only_a_message_that_became_an_event_counts_as_one(world: World) -> None:
    told: list[bool] = []
    world.inbox.on_told = lambda: told.append(True)
    world.inbox.take(PageMessage.model_validate(message("a", t=NOW - 1)))
    world.inbox.take(PageMessage.model_validate(message("a", t=NOW - 1)))
    assert await world.told() == ["a"]
    assert told == [True]
