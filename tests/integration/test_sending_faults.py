"""What goes wrong amid a send, on a real Redis and a page that says what a test wants: what is told is true."""

import asyncio
import contextlib
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from browser_agent.sending import files
from browser_agent.sending.attempt import Attempt
from browser_agent.sending.outbox import Outbox
from browser_agent.sending.outcome import Verdict
from browser_agent.sending.source.content import Fetched
from browser_agent.whatsapp.models import AcksSeen, PageAck, PageWid
from browser_agent.whatsapp.page import PageScriptFailed
from tests.harness.fake_page import FakedAgent, FakePage, answer, faked_agent
from tests.harness.redis_server import RedisServer
from tests.harness.small_agent import NAMES
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY
from whatsapp_contract.errors import NotFound, PageTimeout, Refused
from whatsapp_contract.send_queue import message_of
from whatsapp_contract.states import SessionState

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "data/outgoing").mkdir(parents=True)
    path = tmp_path / "data/outgoing/photo.jpg"
    path.write_bytes(JPEG)
    return path


async def goes_out_and_the_answer_is_lost(page: FakePage, what: dict[str, Any]) -> None:
    page.went_out(what)
    raise PageTimeout("no answer")


async def goes_out_and_nothing_is_known(page: FakePage, what: dict[str, Any]) -> dict[str, Any]:
    page.went_out(what)
    return answer(what, 0)


async def never(_page: FakePage, _what: dict[str, Any]) -> None:
    raise AssertionError("this is not to be given to the page")


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


def apart(moments: list[float]) -> float:
    ordered = sorted(moments)
    return min(later - earlier for earlier, later in itertools.pairwise(ordered))


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
        released.set()
        for key in keys:
            assert (await agent.status(key)).status == "sent"
        assert apart([at for at, _id in agent.faked.transmissions]) > 0.1


async def test_retries_have_their_pace(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, SEND_RATE="300", SEND_RATE_STRANGERS="300") as agent:

        async def no_link(_page: FakePage, what: dict[str, Any]) -> dict[str, Any]:
            return answer(what, -1, "ERROR_NETWORK")

        agent.faked.on_deliver = no_link
        for number in range(10):
            await agent.send("send_text", f"k{number}", chat_id=f"3934{number:07d}", text="x")
        await asyncio.sleep(5)
        assert len(agent.faked.transmissions) > 10
        agent.faked.on_deliver = None
        for number in range(10):
            assert (await agent.status(f"k{number}")).status == "sent"
        assert apart([at for at, _id in agent.faked.transmissions]) > 0.1


async def test_many_strangers_hold_up_nobody_else(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, SEND_RATE="600", SEND_RATE_STRANGERS="3") as agent:
        people = [f"3934{number:07d}" for number in range(60)]
        agent.faked.strangers = {f"{person}@c.us" for person in people}
        for person in people:
            await agent.send("send_text", person, chat_id=person, text="x")
        await asyncio.sleep(0.5)
        for number in range(5):
            await agent.send("send_text", f"group{number}", chat_id=FAMILY.id, text="x")
        for number in range(5):
            assert (await agent.status(f"group{number}", within_s=8)).status == "sent"
        assert len(agent.faked.out) == 6
        # None of them asks all the time.
        assert max(map(len, agent.carried.values())) <= 4


# -- sources ---------------------------------------------------------------------------------------------------------


async def test_a_source_that_never_answers_makes_way(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot(*_: Any) -> Fetched:
        raise files.SourceFailed("store_unavailable", "nobody there")

    monkeypatch.setattr(files, "_in_a_process", cannot)
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="photo.jpg")
        await agent.send("send_text", "behind", chat_id=FAMILY.id, text="x")
        waits = [await agent.carry("k") for _ in range(8)]
        assert waits[-1] is None
        assert 600 < sum(wait or 0 for wait in waits) < 1200
        assert await agent.acks("k") == ["failed"]
        assert (await agent.sends.status("k")).error == "store_unavailable"
        assert await agent.carry("behind") is None


async def test_a_host_that_does_not_exist_is_told_soon(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot(*_: Any) -> Fetched:
        raise files.SourceFailed("not_found", "the source's host does not exist", no_such_host=True)

    monkeypatch.setattr(files, "_in_a_process", cannot)
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="https://photos.invalid/17.jpg?token=s3cr3t")
        waits = [await agent.carry("k") for _ in range(3)]
        assert waits[-1] is None
        assert 10 < sum(wait or 0 for wait in waits) <= 30
        result = await agent.sends.status("k")
        assert (result.error, result.attempts) == ("not_found", 3)
        assert result.detail == "the source's host does not exist"
        (ack,) = await agent.events("message_ack")
        assert ack.data["detail"] == result.detail


async def test_a_web_page_instead_of_a_photo_is_not_sent(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def login(_source: str, target: Path, *_: Any) -> Fetched:
        target.write_text("<html>")  # noqa: ASYNC240  # a small one
        return Fetched(6, "text/html", "17.jpg")

    monkeypatch.setattr(files, "_in_a_process", login)
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        given = {"chat_id": FAMILY.id, "source": "https://photos.example/17.jpg"}
        await agent.send("send_media", "k", **given)
        await agent.send("send_media", "meant", **given, kind="document")
        assert await agent.carry("k") is None
        result = await agent.sends.status("k")
        assert (result.error, result.kind) == ("refused", "media")
        assert "web page" in (result.detail or "")
        assert await agent.carry("meant") is None
        assert (await agent.sends.status("meant")).status == "sent"


async def test_a_group_that_is_none_is_told_at_the_second_look(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.unknown.add("120363999999999999@g.us")
        agent.faked.on_deliver = never
        await agent.send("send_text", "k", chat_id="120363999999999999@g.us", text="x")
        assert await agent.carry("k") == 20
        waiting = await agent.sends.status("k")
        assert (waiting.status, waiting.error) == ("queued", "not_found")
        assert await agent.carry("k") is None
        result = await agent.sends.status("k")
        assert (result.status, result.error) == ("failed", "not_found")
        assert result.detail == "this account has no such group"


async def test_a_group_that_comes_meanwhile_is_written_to(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        agent.faked.unknown.add(FAMILY.id)
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="x")
        assert await agent.carry("k") == 20
        agent.faked.unknown.clear()
        assert await agent.carry("k") is None
        result = await agent.sends.status("k")
        assert (result.status, result.error, result.detail) == ("sent", None, None)


async def test_why_and_until_when_a_send_waits_is_told(redis_server: RedisServer, tmp_path: Path) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_text", "first", chat_id=FAMILY.id, text="1")
        await agent.send("send_text", "second", chat_id=FAMILY.id, text="2")
        assert (await agent.sends.status("second")).detail == "it waits for 1 before it in its chat"
        at = time.time() + 30
        await agent.redis.zadd(NAMES.send_queue_due, {message_of("first"): at})
        first = await agent.sends.status("first")
        assert first.kind == "text"
        assert first.next_try_at is not None
        assert abs(first.next_try_at.timestamp() - at) < 0.01
        await agent.sends.pause("the test")
        assert (await agent.sends.status("first")).detail == "all sending is stopped: paused: the test"
        await agent.sends.resume()
        agent.page = None
        first = await agent.sends.status("first")
        assert (first.error, first.detail) == ("not_ready", "the session is not ready")


async def test_who_is_left_alone_is_whichever_way_the_number_is_written(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.sends.suppress(["0039 333 111 1111"], [])
        for number in ("+39-333-111-1111", "00393331111111", "(39) 333 111 1111"):
            with pytest.raises(Refused):
                await agent.send("send_text", "k", chat_id=number, text="x")


@pytest.mark.parametrize(("kind", "fits"), [("image", True), ("video", False), ("voice", False), ("document", True)])
async def test_a_file_that_is_not_what_it_is_sent_as_is_refused(
    redis_server: RedisServer, tmp_path: Path, photo: Path, kind: str, fits: bool
) -> None:
    async with faked_agent(redis_server, tmp_path, working=False) as agent:
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="photo.jpg", kind=kind)
        assert await agent.carry("k") is None
        assert (await agent.sends.status("k")).error == (None if fits else "refused")


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
        assert (await agent.status("behind", within_s=15)).status == "sent"
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
        assert time.monotonic() - started < 5
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


# -- acknowledgements ------------------------------------------------------------------------------------------------


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
            async with asyncio.timeout(5):
                while await agent.acks("k5") != ["sent", "read"]:
                    await asyncio.sleep(0.05)
        assert [len(batch) for batch in agent.faked.read_back] == [2, 2, 2]
        assert [await agent.acks(key) for key in keys[2:]] == [["sent", "read"]] * 4
        assert await agent.acks("k0") == ["sent"]
        agent.faked.read_back.clear()
        agent.sends.on_state(SessionState.SYNCING, None)
        agent.sends.on_state(SessionState.READY, None)
        await asyncio.sleep(0.5)
        assert [len(batch) for batch in agent.faked.read_back] == [2]


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
