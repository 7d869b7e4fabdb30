"""Files that are to be sent and cannot be had, or are not what they are sent as."""

import time
from pathlib import Path
from typing import Any

import pytest

from browser_agent.sending import files
from browser_agent.sending.source.content import Fetched
from tests.harness.fake_page import faked_agent, never
from tests.harness.redis_server import RedisServer
from tests.harness.small_agent import NAMES
from tests.whatsapp_web.people import FAMILY
from whatsapp_contract.errors import Refused
from whatsapp_contract.send_queue import message_of


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
