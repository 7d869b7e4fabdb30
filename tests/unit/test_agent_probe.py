"""The agent's question to its page, however many ask it."""

import asyncio
import contextlib
import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import fakeredis
import pytest

from browser_agent.agent import BrowserAgent
from browser_agent.command_bus import CommandBus
from browser_agent.handlers import HANDLERS
from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.names import SessionNames
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState

NAMES = SessionNames("s1")
POLLS = 200


class HungPage:
    """Lets everybody wait until `gave_up` is set, and has no answer then."""

    def __init__(self) -> None:
        self.asked = 0
        self.gave_up = asyncio.Event()

    async def probe(self) -> None:
        self.asked += 1
        await self.gave_up.wait()
        raise PageTimeout("no answer")

    async def ask_browser(self) -> None:
        """It answers."""


def agent_of(page: HungPage) -> BrowserAgent:
    agent = BrowserAgent(Settings.from_env({"WHATSAPP_SESSION_ID": "s1"}))
    keeper: Any = SimpleNamespace(page=page, held_until=None)
    flow: Any = SimpleNamespace(state=SessionState.READY)
    fence: Any = SimpleNamespace(epoch=1)
    agent.keeper, agent.flow, agent.fence = keeper, flow, fence
    return agent


async def test_a_check_among_hundreds_gets_the_error_of_a_page_that_hangs_and_the_page_is_asked_once() -> None:
    page = HungPage()
    agent = agent_of(page)
    server = fakeredis.FakeServer()
    async with (
        fakeredis.FakeAsyncRedis(server=server) as raw,
        fakeredis.FakeAsyncRedis(server=server, decode_responses=True) as redis,
    ):
        bus = CommandBus(raw, NAMES, lambda spec, args: HANDLERS[spec.name](agent, args))
        serving = asyncio.create_task(bus.serve())
        while not (await redis.pubsub_numsub(NAMES.commands))[0][1]:
            await asyncio.sleep(0)
        ids = [str(uuid4()) for _ in range(POLLS)]
        for one in ids:
            await redis.publish(NAMES.commands, json.dumps({"id": one, "name": "check"}))
        watchdogs = asyncio.create_task(AsyncAgentClient(redis, "s1").call("check", reply_within_s=30))
        assert await AsyncAgentClient(redis, "s1").call("ping", reply_within_s=30)  # so all of those are under way
        assert page.asked == 1
        page.gave_up.set()
        with pytest.raises(PageTimeout):
            await watchdogs
        for one in ids:
            answer: Any = await redis.blpop([NAMES.replies(one)], timeout=30)
            assert json.loads(answer[1])["error"]["code"] == PageTimeout.code
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_it_goes_on_when_one_gives_up_and_is_asked_anew_when_it_is_over() -> None:
    page = HungPage()
    agent = agent_of(page)
    hasty, patient = (asyncio.create_task(agent.probe()) for _ in range(2))
    await asyncio.sleep(0)
    hasty.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await hasty
    page.gave_up.set()
    with pytest.raises(PageTimeout):
        await patient
    assert page.asked == 1
    with pytest.raises(PageTimeout):
        await agent.probe()
    assert page.asked == 2
