"""Acknowledgements: told once, whenever they come, and of whom they are."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from browser_agent.whatsapp.models import AcksSeen, PageAck, PageWid
from tests.harness.fake_page import FakedAgent, faked_agent
from tests.harness.redis_server import RedisServer
from tests.whatsapp_web.people import ANNA, FAMILY
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.states import SessionState


async def test_a_receipt_that_comes_while_redis_is_away_is_told(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "k", chat_id=ANNA.phone, text="x")
        await agent.carry("k")
        message_id = (await agent.record("k")).message_id
        redis_server.kill()
        agent.sends.on_acks(AcksSeen(kind="acks", acks=[PageAck(id=message_id, ack=3)]))
        await asyncio.sleep(0.5)
        redis_server.start()
        await agent.until_acks("k", ["sent", "read"])


@pytest.mark.parametrize("first", ["phone", "lid"])
async def test_a_member_whose_other_address_is_known_later_is_told_of_once(
    redis_server: RedisServer, tmp_path: Path, first: str
) -> None:
    async def tell(agent: FakedAgent, by: PageWid) -> None:
        agent.sends.on_acks(AcksSeen(kind="acks", acks=[PageAck(id=message_id, ack=3, by=by)]))
        await asyncio.sleep(0.2)

    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="x")
        await agent.carry("k")
        message_id = (await agent.record("k")).message_id
        await tell(agent, PageWid(lid=ANNA.lid) if first == "lid" else PageWid(phone=ANNA.phone))
        async with asyncio.timeout(20):
            while len(await agent.acks("k")) < 2:
                await asyncio.sleep(0.02)
        await tell(agent, PageWid(lid=ANNA.lid, phone=ANNA.phone))
        assert len(await agent.acks("k")) == 2
    async with faked_agent(redis_server, tmp_path, working=False) as agent:  # which has to ask Redis
        await tell(agent, PageWid(lid=ANNA.lid, phone=ANNA.phone))
        assert len(await agent.acks("k")) == 2


async def test_receipts_are_read_back_some_at_a_time_and_not_for_ever(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browser_agent.sending.outbox.READ_AT_ONCE", 2)
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        keys = [f"k{number}" for number in range(6)]
        records = []
        for key in keys:
            await agent.send("send_text", key, chat_id=ANNA.phone, text=key)
            await agent.carry(key)
            records.append(await agent.record(key))
        for record in records:
            agent.faked.acks[record.message_key] = [{"id": record.message_id, "ack": 3, "by": None}]
        agent.faked.acks[records[0].message_key] = PageTimeout("too slow")
        agent.sends.on_state(SessionState.READY, None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                while await agent.acks("k5") != ["sent", "read"]:
                    await asyncio.sleep(0.05)
        assert [len(batch) for batch in agent.faked.read_back] == [2, 2, 2]
        assert [await agent.acks(key) for key in keys[2:]] == [["sent", "read"]] * 4
        assert await agent.acks("k0") == ["sent"]
        agent.faked.read_back.clear()
        agent.sends.on_state(SessionState.SYNCING, None)
        agent.sends.on_state(SessionState.READY, None)
        async with asyncio.timeout(20):
            while not agent.faked.read_back:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)  # nothing more is to happen
        assert [len(batch) for batch in agent.faked.read_back] == [2]
