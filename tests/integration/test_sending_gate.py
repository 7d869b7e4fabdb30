"""Whatever forbids a message, or has it wait: it holds until the page is given it, and longer than a Redis."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from browser_agent.sending import files
from browser_agent.sending.outcome import Verdict
from browser_agent.sending.source.content import Fetched
from tests.harness.fake_page import FakedAgent, FakePage, answer, faked_agent
from tests.harness.redis_server import RedisServer
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY
from whatsapp_contract.errors import NotFound, Refused

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


# -- the gate --------------------------------------------------------------------------------------------------------


async def _fetching(agent: FakedAgent, monkeypatch: pytest.MonkeyPatch, released: asyncio.Event) -> None:
    async def slowly(_source: str, target: Path, _rules: Any) -> Fetched:
        await released.wait()
        target.write_bytes(JPEG)  # noqa: ASYNC240  # a small one
        return Fetched(len(JPEG), "image/jpeg", "photo.jpg")

    monkeypatch.setattr(files, "_in_a_process", slowly)


async def test_a_pause_while_a_file_is_fetched_holds(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faked_agent(redis_server, tmp_path) as agent:
        await _fetching(agent, monkeypatch, released := asyncio.Event())
        await agent.send("send_media", "paused", chat_id=FAMILY.id, source="photo.jpg")
        await agent.send("send_media", "suppressed", chat_id=ANNA.phone, source="photo.jpg")
        await asyncio.sleep(0.3)
        await agent.sends.suppress([ANNA.phone], [])
        released.set()
        assert (await agent.status("suppressed")).error == "refused"
        assert (await agent.status("paused")).status == "sent"

        released.clear()
        await agent.send("send_media", "later", chat_id=FAMILY.id, source="photo.jpg")
        await asyncio.sleep(0.3)
        await agent.sends.pause("the test")
        released.set()
        await asyncio.sleep(1)
        assert [to for _at, to, _text in agent.faked.out.values()] == [FAMILY.id]
        await agent.sends.resume()
        assert (await agent.status("later")).status == "sent"


async def test_a_send_whose_day_is_over_while_its_file_is_fetched_is_not_sent(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faked_agent(redis_server, tmp_path) as agent:
        agent.sends._life.lives_s = 0.5
        await _fetching(agent, monkeypatch, released := asyncio.Event())
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="photo.jpg")
        await asyncio.sleep(0.7)
        released.set()
        assert (await agent.status("k")).error == "expired"
        assert agent.faked.out == {}


def keep_pace(moments: list[float], began: float, interval_s: float) -> bool:
    """Whether none came before its place in the row. Later than that, several may come together: a machine is slow at
    times."""
    return all(at >= began + place * interval_s - 0.05 for place, at in enumerate(sorted(moments)))


async def test_files_that_were_slow_to_come_do_not_go_out_at_once(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faked_agent(redis_server, tmp_path, SEND_RATE="300", SEND_RATE_STRANGERS="300") as agent:
        await _fetching(agent, monkeypatch, released := asyncio.Event())
        keys = [f"k{number}" for number in range(12)]
        for number, key in enumerate(keys):
            await agent.send("send_media", key, chat_id=f"3934{number:07d}", source="photo.jpg")
        await asyncio.sleep(3)
        assert len(agent.sends._files._waiting) <= files.WAITING_AT_MOST
        began = time.time()
        released.set()
        for key in keys:
            assert (await agent.status(key)).status == "sent"
        assert keep_pace([at for at, _id in agent.faked.transmissions], began, 0.2)


async def test_retries_have_their_pace(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, SEND_RATE="300", SEND_RATE_STRANGERS="300") as agent:

        async def no_link(_page: FakePage, what: dict[str, Any]) -> dict[str, Any]:
            return answer(what, -1, "ERROR_NETWORK")

        agent.faked.on_deliver = no_link
        began = time.time()
        for number in range(10):
            await agent.send("send_text", f"k{number}", chat_id=f"3934{number:07d}", text="x")
        async with asyncio.timeout(20):
            while len(agent.faked.transmissions) <= 10:
                await asyncio.sleep(0.02)
        agent.faked.on_deliver = None
        for number in range(10):
            assert (await agent.status(f"k{number}")).status == "sent"
        assert keep_pace([at for at, _id in agent.faked.transmissions], began, 0.2)


async def test_many_strangers_hold_up_nobody_else(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, SEND_RATE="600", SEND_RATE_STRANGERS="1") as agent:
        people = [f"3934{number:07d}" for number in range(60)]
        agent.faked.strangers = {f"{person}@c.us" for person in people}
        for person in people:
            await agent.send("send_text", person, chat_id=person, text="x")
        await asyncio.sleep(0.5)
        for number in range(5):
            await agent.send("send_text", f"group{number}", chat_id=FAMILY.id, text="x")
        for number in range(5):
            assert (await agent.status(f"group{number}", within_s=30)).status == "sent"
        assert len(agent.faked.out) == 6
        # None of them asks all the time.
        assert max(map(len, agent.carried.values())) <= 4


# -- stops -----------------------------------------------------------------------------------------------------------


async def refuses_bad(_page: FakePage, what: dict[str, Any]) -> dict[str, Any] | None:
    return answer(what, -1, "ERROR_UNKNOWN") if what["text"].startswith("bad") else None


async def test_one_bad_message_fails_and_stops_nothing(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.on_deliver = refuses_bad
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="bad")
        waits = [await agent.carry("k") for _ in range(3)]
        assert waits[-1] is None
        assert await agent.acks("k") == ["failed"]
        assert (await agent.sends.state()).stopped is None
        for number in range(2):
            await agent.send("send_text", f"k{number}", chat_id=FAMILY.id, text="bad too")
            await agent.carry(f"k{number}")
            if number == 0:
                assert (await agent.sends.state()).stopped is None
                await agent.carry("k0")
                await agent.carry("k0")
        assert (await agent.sends.state()).stopped == "rate_limited"


async def test_a_warning_while_a_person_has_paused_is_told_and_stays(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with faked_agent(redis_server, tmp_path) as agent:
        await agent.sends.pause("lunch")
        await agent.sends._stops.stop(Verdict.STOP_RATE)
        assert len(await agent.events("alert")) == 1
        assert (await agent.sends.pause("lunch")).stopped == "rate_limited"
        await agent.sends._stops.stop(Verdict.STOP_RATE)
        assert len(await agent.events("alert")) == 1
        assert (await agent.sends.resume()).stopped is None


# -- addresses -------------------------------------------------------------------------------------------------------


async def test_who_has_another_number_there_is_left_alone_too(redis_server: RedisServer, tmp_path: Path) -> None:
    """In Brazil a number is written with a nine more than the address that WhatsApp has for it."""
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.aliases["5511987654321@c.us"] = ["551187654321@c.us"]
        await agent.send("send_text", "k", chat_id="5511987654321", text="x")
        await agent.sends.suppress(["551187654321"], [])
        await agent.carry("k")
        assert (await agent.sends.status("k")).error == "refused"


async def test_no_such_send(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        assert await agent.carry("none") is None
        with pytest.raises(NotFound):
            await agent.sends.status("none")


# -- what outlives a Redis -------------------------------------------------------------------------------------------


async def test_a_redis_that_lost_everything_writes_to_nobody_who_is_left_alone(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.sends.suppress([ANNA.phone, BRUNO.phone], [])
        await agent.sends.suppress([], [BRUNO.phone])
        await agent.sends.pause("the test")
        await agent.redis.flushall()
        with pytest.raises(Refused):
            await agent.send("send_text", "k", chat_id=ANNA.phone, text="x")
        assert (await agent.sends.state()).stopped == "paused: the test"
        await agent.redis.flushall()
    async with faked_agent(redis_server, tmp_path, working=False) as agent:  # with the copy beside the profile
        await agent.sends.standing.load()
        assert await agent.sends.suppress([], []) == [ANNA.phone]
        assert (await agent.sends.state()).stopped == "paused: the test"
        await agent.sends.suppress([], [ANNA.phone])
        await agent.sends.resume()
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.sends.standing.load()
        assert await agent.sends.suppress([], []) == []
        assert (await agent.sends.state()).stopped is None
    (copy,) = tmp_path.rglob("sending.json")  # noqa: ASYNC240  # a small one
    assert copy.stat().st_mode & 0o77 == 0


async def test_a_warning_is_in_the_snapshot(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        assert await agent.sends.standing.dump() is None  # nothing was restored yet, so nothing is to be overwritten
        await agent.sends.standing.load()
        await agent.sends._stops.stop(Verdict.STOP_RATE)
        kept = await agent.sends.standing.dump()
        redis_server.kill()
        assert await agent.sends.standing.dump() == kept
        assert '"stopped":"rate_limited"' in (kept or "")
