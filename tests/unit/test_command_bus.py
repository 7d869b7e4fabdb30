"""The command bus on fakeredis: every payload is answered, or counted where there is nobody to answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import fakeredis
import pytest
from pydantic import BaseModel

from browser_agent.command_bus import AT_MOST_AT_ONCE, CommandBus
from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.errors import AgentUnreachable, BadArguments, Busy, NoReply, NotReady
from whatsapp_contract.names import SessionNames
from whatsapp_contract.results import LogoutResult, ShutdownResult

NAMES = SessionNames("s1")


class Agent:
    """Answers logout, refuses reset, breaks at reload, keeps shutdown waiting."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.release = asyncio.Event()

    async def handle(self, spec: CommandSpec, _args: Any) -> BaseModel:
        self.called.append(spec.name)
        match spec.name:
            case "logout":
                return LogoutResult(took_ms=1)
            case "reset":
                raise NotReady("cannot reset now")
            case "reload":
                raise ZeroDivisionError("a bug")
            case _:
                await self.release.wait()
                return ShutdownResult()


class Setting:
    def __init__(self, redis: Any, bus: CommandBus, agent: Agent) -> None:
        self.redis, self.bus, self.agent = redis, bus, agent
        self.client = AsyncAgentClient(redis, "s1")

    async def reply_to(self, payload: dict[str, Any]) -> dict[str, Any]:
        await self.redis.publish(NAMES.commands, json.dumps(payload))
        _key, reply = await self.redis.blpop([NAMES.replies(payload["id"])], timeout=30)
        answer: dict[str, Any] = json.loads(reply)
        return answer


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    server = fakeredis.FakeServer()
    raw = fakeredis.FakeAsyncRedis(server=server)
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    agent = Agent()
    bus = CommandBus(raw, NAMES, agent.handle)
    serving = asyncio.create_task(bus.serve())
    while not (await redis.pubsub_numsub(NAMES.commands))[0][1]:
        await asyncio.sleep(0)
    yield Setting(redis, bus, agent)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await redis.aclose()
    await raw.aclose()


async def test_a_command_gets_its_result(setting: Setting) -> None:
    result = await setting.client.call("logout", {"cause": "test"})
    assert result == LogoutResult(took_ms=1)


async def test_a_refusal_reaches_the_caller_as_the_same_error(setting: Setting) -> None:
    with pytest.raises(NotReady, match="cannot reset now"):
        await setting.client.call("reset")


async def test_bad_arguments_reach_the_caller(setting: Setting) -> None:
    with pytest.raises(BadArguments, match="cause"):
        await setting.client.call("reset", {"cause": ""})
    assert setting.agent.called == []


@pytest.mark.parametrize("args", [{"keys": ["private\ud800"]}, {"private\udfff": 1}, {"cause": object()}])
async def test_what_json_has_no_form_for_is_refused_before_it_is_sent(setting: Setting, args: dict[str, Any]) -> None:
    with pytest.raises(BadArguments) as refused:
        await setting.client.call("media_retry", args)
    assert "private" not in str(refused.value)
    assert setting.agent.called == []


async def test_a_bug_is_answered_and_the_agent_goes_on(setting: Setting) -> None:
    reply = await setting.reply_to({"id": str(uuid4()), "name": "reload"})
    assert reply["error"] == {"code": "internal", "message": "see the agent's log", "retryable": False}
    assert await setting.client.call("logout")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "dance"}, "unknown_command"),
        ({"args": {"surprise": 1}}, "bad_arguments"),
        ({"surprise": 1}, "bad_command"),
        ({"expires_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}, "expired"),
        ({"args": {"cause": "x" * 1_100_000}}, "too_large"),
    ],
)
async def test_each_kind_of_bad_command_has_its_code(setting: Setting, change: dict[str, Any], code: str) -> None:
    reply = await setting.reply_to({"id": str(uuid4()), "name": "logout", **change})
    assert (reply["ok"], reply["error"]["code"]) == (False, code)
    assert setting.agent.called == []
    assert await setting.client.call("logout")


async def test_broken_json_with_an_id_is_answered(setting: Setting) -> None:
    command_id = str(uuid4())
    await setting.redis.publish(NAMES.commands, f'{{"id": "{command_id}", "name": ')
    _key, reply = await setting.redis.blpop([NAMES.replies(command_id)], timeout=30)
    assert json.loads(reply)["error"]["code"] == "bad_json"


async def test_what_nobody_can_be_told_of_is_counted_and_the_agent_goes_on(setting: Setting) -> None:
    for junk in ("{", "[1]", b"\xff\x00", '{"name": 5}', "dance"):
        await setting.redis.publish(NAMES.commands, junk)
    assert await setting.client.call("logout")
    assert setting.bus.refused == 5


async def test_a_bare_word_and_a_command_that_wants_no_reply_are_carried_out(setting: Setting) -> None:
    await setting.redis.publish(NAMES.commands, "logout")
    await setting.redis.publish(NAMES.commands, json.dumps({"name": "logout", "reply": False, "id": str(uuid4())}))
    assert await setting.client.call("logout")
    assert setting.agent.called == ["logout"] * 3
    assert await setting.redis.keys(NAMES.replies("*")) == []


@pytest.mark.parametrize(
    "change", [{"name": "reset"}, {"name": "reload"}, {"name": "dance"}, {"args": {"x": 1}}, {"surprise": 1}]
)
async def test_a_command_that_wants_no_reply_gets_none_when_it_fails(setting: Setting, change: dict[str, Any]) -> None:
    unwanted = {"id": str(uuid4()), "name": "logout", "reply": False, **change}
    await setting.redis.publish(NAMES.commands, json.dumps(unwanted))
    assert await setting.client.call("logout")
    assert setting.bus.refused == 1
    assert await setting.redis.keys(NAMES.replies("*")) == []


async def test_an_id_far_into_a_bad_command_is_found(setting: Setting) -> None:
    reply = await setting.reply_to({"name": "logout", "surprise": "x" * 2000, "args": {}, "id": str(uuid4())})
    assert reply["error"]["code"] == "bad_command"


async def test_a_reply_nobody_reads_expires(setting: Setting) -> None:
    command_id = str(uuid4())
    await setting.redis.publish(NAMES.commands, json.dumps({"id": command_id, "name": "logout"}))
    while not await setting.redis.exists(NAMES.replies(command_id)):
        await asyncio.sleep(0)
    assert 0 < await setting.redis.ttl(NAMES.replies(command_id)) <= 60


async def test_a_slow_command_does_not_hold_up_the_next_and_its_caller_is_told_in_time(setting: Setting) -> None:
    slow = asyncio.create_task(setting.client.call("shutdown", reply_within_s=1.0))
    assert await setting.client.call("logout")
    with pytest.raises(NoReply) as caught:
        await slow
    assert caught.value.listeners == 1
    setting.agent.release.set()


@pytest.mark.parametrize("name", ["carry_send", "ping", "check", "reset", "reload", "restart_browser"])
async def test_messages_go_out_and_the_watchdog_is_heard_however_many_commands_are_under_way(
    setting: Setting, name: str
) -> None:
    waiting = [{"id": str(uuid4()), "name": "shutdown"} for _ in range(AT_MOST_AT_ONCE + 1)]
    for command in waiting:
        await setting.redis.publish(NAMES.commands, json.dumps(command))
    with pytest.raises(Busy):
        await setting.client.call("logout")
    args = {"idempotency_key": "k"} if name == "carry_send" else {}
    await setting.redis.publish(NAMES.commands, json.dumps({"id": str(uuid4()), "name": name, "args": args}))
    async with asyncio.timeout(30):
        while name not in setting.agent.called:
            await asyncio.sleep(0.01)
    setting.agent.release.set()


@pytest.mark.parametrize("flood", ["shutdown", "carry_send"])
async def test_what_callers_ask_for_makes_no_work_without_end_nor_takes_the_place_of_another(
    setting: Setting, flood: str
) -> None:
    args = {"idempotency_key": "k"} if flood == "carry_send" else {}
    unanswered = {"id": str(uuid4()), "name": flood, "args": args, "reply": False}
    for _ in range(AT_MOST_AT_ONCE):
        await setting.redis.publish(NAMES.commands, json.dumps(unanswered))
    refused = await setting.reply_to({"id": str(uuid4()), "name": flood, "args": args})
    assert refused["error"]["code"] == "busy"
    assert setting.agent.called.count(flood) == AT_MOST_AT_ONCE
    other = "carry_send" if flood == "shutdown" else "shutdown"
    other_args = {"idempotency_key": "k"} if other == "carry_send" else {}
    let_in = asyncio.create_task(setting.reply_to({"id": str(uuid4()), "name": other, "args": other_args}))
    async with asyncio.timeout(30):
        while other not in setting.agent.called:
            await asyncio.sleep(0.01)
    setting.agent.release.set()
    assert (await let_in)["ok"]
    assert (await setting.reply_to({"id": str(uuid4()), "name": flood, "args": args}))["ok"]
    assert setting.agent.called.count(flood) == AT_MOST_AT_ONCE + 1


@pytest.mark.parametrize("name", ["ping", "check", "reset", "reload", "restart_browser"])
async def test_the_watchdog_is_let_in_however_many_ask_the_same(setting: Setting, name: str) -> None:
    times = 3 * AT_MOST_AT_ONCE
    for _ in range(times):
        await setting.redis.publish(NAMES.commands, json.dumps({"id": str(uuid4()), "name": name, "reply": False}))
    async with asyncio.timeout(30):
        while setting.agent.called.count(name) < times:
            await asyncio.sleep(0.01)
    setting.agent.release.set()


async def test_without_a_listener_the_caller_knows_at_once() -> None:
    async with fakeredis.FakeAsyncRedis(decode_responses=True) as redis:
        with pytest.raises(AgentUnreachable):
            await AsyncAgentClient(redis, "s1").call("ping")
