"""What goes wrong amid a send, on a real Redis and a page that says what a test wants: what is told is true."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from browser_agent.sending.attempt import Attempt
from browser_agent.sending.outbox import Outbox
from browser_agent.whatsapp.page import PageScriptFailed
from tests.harness.fake_page import FakePage, answer, faked_agent, never
from tests.harness.redis_server import RedisServer
from tests.harness.small_agent import NAMES
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.send_queue import message_of


async def goes_out_and_the_answer_is_lost(page: FakePage, what: dict[str, Any]) -> None:
    page.went_out(what)
    raise PageTimeout("no answer")


async def goes_out_and_nothing_is_known(page: FakePage, what: dict[str, Any]) -> dict[str, Any]:
    page.went_out(what)
    return answer(what, 0)


# -- what may have gone out is looked for ----------------------------------------------------------------------------


async def test_a_try_that_raised_is_looked_for_before_the_next(
    redis_server: RedisServer, tmp_path: Path, photo: Path
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.on_deliver = goes_out_and_the_answer_is_lost
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="photo.jpg")
        await agent.carry("k")
        record = await agent.record("k")
        assert (record.status, record.attempts, record.error) == ("queued", 1, "page_timeout")
        assert record.tried_at is not None
        agent.faked.on_deliver = never
        photo.unlink()  # noqa: ASYNC240  # a small one
        agent.sends._files.clear()  # as in the agent's next life
        assert await agent.carry("k") is None
        assert await agent.acks("k") == ["sent"]


async def test_a_page_that_fails_after_the_message_went_out_with_the_source_gone(
    redis_server: RedisServer, tmp_path: Path, photo: Path
) -> None:
    async def throws(page: FakePage, what: dict[str, Any]) -> None:
        page.went_out(what)
        raise PageScriptFailed("deliver", "TypeError")

    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.on_deliver = throws
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="photo.jpg")
        assert await agent.carry("k") == 2
        photo.unlink()  # noqa: ASYNC240  # a small one
        agent.sends._files.clear()
        assert await agent.carry("k") is None
        assert await agent.acks("k") == ["sent"]


@pytest.mark.parametrize("why", ["a day is over", "workers died over it"])
async def test_what_is_given_up_is_looked_for_first(redis_server: RedisServer, tmp_path: Path, why: str) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        for key, on_deliver in (
            ("out", goes_out_and_nothing_is_known),
            ("waits", goes_out_and_nothing_is_known),
            ("lost", None),
        ):
            agent.faked.on_deliver = on_deliver
            if key == "lost":

                async def lost(_page: FakePage, _what: dict[str, Any]) -> None:
                    raise PageTimeout("no answer")

                agent.faked.on_deliver = lost
            await agent.send(
                "send_text", key, chat_id={"out": FAMILY.id, "waits": ANNA.phone, "lost": BRUNO.phone}[key], text=key
            )
            await agent.carry(key)

        async def waits(_page: FakePage, what: dict[str, Any]) -> dict[str, Any] | None:
            return answer(what, 0) if what["to"] == ANNA.phone else None

        agent.faked.on_look, agent.faked.on_deliver = waits, never
        give_up = None
        if why == "a day is over":
            agent.sends._life.lives_s = 0.0
        else:
            give_up = "internal"
        results = {key: await agent.carry(key, give_up) for key in ("out", "waits", "lost")}
        assert (results["out"], results["lost"]) == (None, None)
        assert results["waits"] is not None
        assert await agent.acks("out") == ["sent"]
        assert await agent.acks("lost") == ["failed"]
        assert await agent.acks("waits") == []
        # The worker says it once; it is not sent again all the same.
        agent.faked.on_look = None
        agent.faked.out = {key: value for key, value in agent.faked.out.items() if value[1] != ANNA.phone}
        assert await agent.carry("waits") is None
        assert await agent.acks("waits") == ["failed"]


async def test_the_eighth_failure_is_looked_at_too(redis_server: RedisServer, tmp_path: Path) -> None:
    async def throws(page: FakePage, what: dict[str, Any]) -> None:
        if len(page.transmissions) == 8:
            page.went_out(what)
        raise PageScriptFailed("deliver", "TypeError")

    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.on_deliver = throws
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
        for _ in range(8):
            assert await agent.carry("k") is not None
        assert await agent.carry("k") is None
        assert await agent.acks("k") == ["sent"]
        assert len(agent.faked.transmissions) == 8


async def test_an_end_that_redis_does_not_take_is_written_when_it_does(
    redis_server: RedisServer, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browser_agent.sending.outbox.WRITTEN_WITHIN_S", 0.5)

    async def shuts_redis(page: FakePage, what: dict[str, Any]) -> dict[str, Any]:
        page.went_out(what)
        await agent.redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        photo.unlink()  # noqa: ASYNC240  # a small one
        return answer(what, 1, "OK")

    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.on_deliver = shuts_redis
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="photo.jpg")
        assert await agent.carry("k") is not None
        assert (await agent.record("k")).status == "queued"
        await agent.redis.execute_command("CLIENT", "UNPAUSE")
        for _ in range(3):
            await agent.carry("k")
        assert (await agent.record("k")).status == "sent"
        assert await agent.acks("k") == ["sent"]
        assert await agent.redis.ttl(NAMES.send("k")) > 0
        assert await agent.redis.exists(NAMES.sends_of(FAMILY.id)) == 0


async def test_what_nobody_can_be_asked_for_backs_off(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:

        async def hangs(_page: FakePage, _what: dict[str, Any]) -> None:
            raise PageTimeout("no answer")

        agent.faked.on_deliver = agent.faked.on_look = hangs
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
        assert [await agent.carry("k") for _ in range(6)] == [1, 2, 4, 8, 15, 15]


# -- a chat's list ---------------------------------------------------------------------------------------------------


async def test_dead_entries_at_the_head_of_a_chat_make_way(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path) as agent:
        await agent.send("send_text", "ended", chat_id=FAMILY.id, text="1")
        await agent.status("ended")
        page, agent.page = agent.page, None
        await agent.send("send_text", "evicted", chat_id=FAMILY.id, text="2")
        await agent.redis.rpush(NAMES.sends_of(FAMILY.id), "ended")
        await agent.send("send_text", "behind", chat_id=FAMILY.id, text="3")
        await agent.redis.delete(NAMES.send("evicted"))
        agent.page = page
        await agent.sends.resume()
        assert (await agent.status("behind", within_s=30)).status == "sent"
        assert await agent.redis.exists(NAMES.sends_of(FAMILY.id)) == 0
        assert await agent.redis.zcard(NAMES.sends_open) == 0


async def test_a_send_that_has_ended_gets_no_place_again(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="1")
        stale = await agent.record("k")
        await agent.carry("k")
        assert await agent.sends._outbox.position(stale) == -1
        assert await agent.redis.exists(NAMES.sends_of(FAMILY.id)) == 0


async def test_a_stale_try_writes_over_no_end(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="1")
        stale = await agent.record("k")
        await agent.carry("k")
        ended = await agent.redis.get(NAMES.send("k"))
        await Attempt(agent.sends._life, stale, None).carry()
        assert await agent.redis.get(NAMES.send("k")) == ended


async def test_only_heads_are_woken_and_soon(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        async with agent.redis.pipeline() as pipeline:
            for number in range(20_000):
                pipeline.rpush(NAMES.sends_of(f"{number % 10_000}@c.us"), f"k{number}")
                pipeline.lpush(NAMES.send_queue, message_of(f"k{number}"))
                pipeline.sadd(NAMES.sends_chats, f"{number % 10_000}@c.us")
            await pipeline.execute()
        started = time.monotonic()
        await agent.sends._outbox.wake_all()
        assert time.monotonic() - started < 30
        assert await agent.redis.llen(NAMES.send_queue) == 20_000
        await agent.redis.delete(NAMES.send_queue)
        await agent.sends._outbox.wake_all()
        assert await agent.redis.llen(NAMES.send_queue) == 10_000


# -- keys ------------------------------------------------------------------------------------------------------------


async def test_a_key_that_is_used_again_later_is_another_send(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        for text, place in (("one", 1), ("another", 2), ("another", 2)):
            await agent.send("send_text", "k", chat_id=FAMILY.id, text=text)
            await agent.carry("k")
            await asyncio.sleep(0.01)
            assert (await agent.sends.status("k")).status == "sent"
            await agent.redis.delete(NAMES.send("k"))  # seven days later
            assert len(agent.faked.out) == place
        assert await agent.acks("k") == ["sent"] * 3


async def test_what_was_said_is_forgotten_with_the_end(redis_server: RedisServer, tmp_path: Path, photo: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "text", chat_id=FAMILY.id, text="a secret")
        await agent.carry("text")
        await agent.send("send_media", "photo", chat_id=FAMILY.id, source="photo.jpg", caption="a secret")
        await agent.carry("photo")
        for key in ("text", "photo"):
            kept = await agent.redis.get(NAMES.send(key))
            assert "secret" not in kept
            assert "photo.jpg" not in kept
        assert (await agent.send("send_text", "text", chat_id=FAMILY.id, text="a secret")).status == "sent"


async def test_commands_are_accepted_in_the_order_in_which_they_come(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        for turn in range(3):
            keys = [f"{turn}-{number}" for number in range(40)]
            sendings = [
                asyncio.create_task(agent.send("send_text", key, chat_id=f"{turn}20363000000000001@g.us", text="x"))
                for key in keys
            ]
            await asyncio.gather(*sendings)
            assert await agent.redis.lrange(NAMES.sends_of(f"{turn}20363000000000001@g.us"), 0, -1) == keys


# -- clocks ----------------------------------------------------------------------------------------------------------


async def test_ages_are_by_redis_clock(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 2 * 86_400)
        result = await agent.send("send_text", "k", chat_id=FAMILY.id, text="x")
        assert abs(result.accepted_at.timestamp() - real()) < 60
        monkeypatch.setattr(time, "time", lambda: real() + 2 * 86_400)
        await agent.carry("k")
        assert (await agent.sends.status("k")).status == "sent"


async def test_a_step_of_redis_clock_expires_nothing(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="x")
        real = Outbox._saw
        monkeypatch.setattr(Outbox, "_saw", lambda outbox, at: real(outbox, (at[0] + 2 * 86_400, at[1])))
        await agent.carry("k")
        assert (await agent.sends.status("k")).status == "sent"
