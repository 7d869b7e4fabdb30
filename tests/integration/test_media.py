"""The way of one file: what goes well, and what a file may do that does not."""

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from browser_agent.whatsapp.media import ANSWER_WITHIN_S, MediaRefused, read_media, release_media
from tests.harness.media_bench import (
    GROUPS,
    MAX_BYTES,
    NAMES,
    SENT_AT,
    Bench,
    key_of,
    message_of,
    object_of,
    objects,
    told_of,
)
from tests.harness.s3_server import S3Server
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.events import EventType
from whatsapp_contract.media_record import MediaState

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- what goes well --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "mimetype"),
    [
        (os.urandom(1_000_003), "image/jpeg"),
        ("è text with ünïcode ☃ over many pieces\n".encode() * 20_000, "text/plain"),
        (b"", "application/pdf"),
        (b"x" * (256 * 1024), "video/mp4"),
    ],
)
async def test_a_file_is_stored_byte_for_byte_and_let_go(
    bench: Bench, s3: S3Server, data: bytes, mimetype: str
) -> None:
    key, sha256 = key_of(1), hashlib.sha256(data).hexdigest()
    await bench.page.give(key, told_of(data, mimetype), data)
    bench.tell(key, data, mimetype=mimetype)
    media = (await bench.ended(key))[key]
    assert (media["status"], media["sha256"], media["size"], media["error"]) == ("stored", sha256, len(data), None)
    assert media["url"].startswith(f"s3://{s3.bucket}/media/s1/{SENT_AT:%Y/%m/%d}/{sha256}.")
    assert object_of(s3, media) == data
    assert s3.admin.head_object(Bucket=s3.bucket, Key=s3.keys()[0])["ContentType"] == mimetype
    async with asyncio.timeout(20):
        while bench.files() or await bench.page.kept(key) or await bench.client.zcard(NAMES.media_due):
            await asyncio.sleep(0.01)


async def test_one_photo_in_five_groups_at_the_same_moment_is_fetched_and_stored_once(
    bench: Bench, s3: S3Server
) -> None:
    data = os.urandom(300_000)
    keys = [key_of(1, group) for group in GROUPS]
    for key in keys:
        await bench.page.give(key, told_of(data), data)
    for key in keys:
        bench.tell(key, data)
    ended = await bench.ended(*keys)
    assert {media["status"] for media in ended.values()} == {"stored"}
    assert len({media["url"] for media in ended.values()}) == 1
    assert len(await bench.page.tries()) == 1
    assert len(s3.keys()) == 1


async def test_a_burst_is_stored_whole_and_each_told_once(bench: Bench, s3: S3Server) -> None:
    photos = {key_of(n): os.urandom(50_000 + n) for n in range(120)}
    for key, data in photos.items():
        await bench.page.give(key, told_of(data), data)
    for key, data in photos.items():
        bench.tell(key, data)
    ended = await bench.ended(*photos, within_s=60)
    assert sorted(media["key"] for media in await bench.events()) == sorted(photos)
    assert all(media["sha256"] == hashlib.sha256(photos[key]).hexdigest() for key, media in ended.items())
    assert len(s3.keys()) == len(photos)


async def test_a_message_that_the_page_has_not_loaded_is_found_among_the_earlier_ones(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(2), told_of(data), data, earlier=True)
    await bench.page.give(key_of(1), told_of(data), data, earlier=True)
    bench.tell(key_of(1), data)
    assert (await bench.ended(key_of(1)))[key_of(1)]["status"] == "stored"


async def test_so_it_is_on_a_build_whose_chats_load_their_own(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.is_an_older_build()
    await bench.page.give(key_of(1), told_of(data), data, earlier=True)
    bench.tell(key_of(1), data)
    assert (await bench.ended(key_of(1)))[key_of(1)]["status"] == "stored"


async def test_earlier_messages_that_never_come_are_not_waited_for(bench: Bench) -> None:
    await bench.page.has_no_link()
    bench.tell(key_of(1), b"x")
    async with asyncio.timeout(45):
        while not any(record.attempts for record in await bench.records(key_of(1))):
            await asyncio.sleep(0.05)


async def test_a_message_told_again_is_answered_again(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(1), told_of(data), data)
    bench.tell(key_of(1), data)
    await bench.ended(key_of(1))
    message = message_of(key_of(1), {"size": 1000, "sha256": hashlib.sha256(data).hexdigest()})
    bench.event_log.publish(EventType.MESSAGE, message, also=bench.keeper.entering(message))
    async with asyncio.timeout(45):
        while len(events := await bench.events()) < 2:
            await asyncio.sleep(0.01)
    assert events[0] == events[1]
    assert await bench.page.tries() == [key_of(1)]


# -- what the file does ----------------------------------------------------------------------------------------------


async def test_gone_from_the_server_is_asked_for_again_until_it_is_there(bench: Bench, s3: S3Server) -> None:
    data = os.urandom(5000)
    await bench.page.give(key_of(1), told_of(data), {"stage": "ERROR_MISSING"}, data)
    bench.tell(key_of(1), data)
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert (media["status"], media["attempts"]) == ("stored", 1)
    assert object_of(s3, media) == data
    record = await bench.keeper.ledger.record(key_of(1))
    assert record is not None
    assert record.asked_again == 1


async def test_one_that_the_phone_is_asked_for_does_not_hold_up_the_others(bench: Bench) -> None:
    """The phone may be off for hours."""
    photos = {key_of(n): os.urandom(1000 + n) for n in range(9)}
    for key, data in photos.items():
        plan = [{"stage": "REUPLOADING", "hang": True}] if key != key_of(8) else [data]
        await bench.page.give(key, told_of(data), *plan)
        bench.tell(key, data)
    assert (await bench.ended(key_of(8), within_s=45))[key_of(8)]["status"] == "stored"
    hung = [key_of(n) for n in range(8)]
    async with asyncio.timeout(45):
        while {(r.state, r.problem) for r in await bench.records(*hung)} != {(MediaState.SEEN, "gone")}:
            await asyncio.sleep(0.05)


async def test_nothing_runs_on_in_the_page_for_a_file_that_is_not_waited_for_any_more(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(1), told_of(data), {"stage": "REUPLOADING", "hang": True})
    bench.tell(key_of(1), data)
    async with asyncio.timeout(45):
        while not [r for r in await bench.records(key_of(1)) if r.problem == "gone"]:
            await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        while await bench.page.timers():  # the next try has one of its own, for a while
            await asyncio.sleep(0.05)


async def test_a_file_that_comes_too_late_is_let_go(bench: Bench, tmp_path: Path) -> None:
    """Whether the page is too slow, or it is we that did not wait."""
    page, data = bench.page.page, os.urandom(100_000)
    late = {"late_ms": 700, "data": base64.b64encode(data).decode()}
    for n, patience_s in ((1, 0.2), (2, -ANSWER_WITHIN_S + 0.2)):
        await bench.page.give(key_of(n), told_of(data), late)
        with pytest.raises((MediaRefused, PageTimeout)):
            await read_media(page, key_of(n), tmp_path / "late", MAX_BYTES, patience_s)
        async with asyncio.timeout(20):
            while not await bench.page.kept(key_of(n)):
                await asyncio.sleep(0.05)
        release_media(page, key_of(n))
    assert await bench.page.blobs() == 0
    assert await bench.page.timers() == 0


async def test_a_file_that_the_browser_does_not_hand_out_is_its_own_trouble(bench: Bench) -> None:
    await bench.page.give(key_of(1), told_of(b"x"), {"unreadable": True})
    bench.tell(key_of(1), b"x")
    async with asyncio.timeout(45):
        while not any(record.attempts for record in await bench.records(key_of(1))):
            await asyncio.sleep(0.05)
    assert (await bench.records(key_of(1)))[0].interrupted == 0


async def test_a_file_that_the_page_dies_over_is_tried_alone_and_the_others_are_stored(bench: Bench) -> None:
    photos = {key_of(n): os.urandom(1000 + n) for n in range(1, 9)}
    await bench.page.give(key_of(0), told_of(b"x"), {"hang": True})
    bench.tell(key_of(0), b"x")
    for _ in range(2):
        tries = await bench.page.tries()
        bench.ready = True
        async with asyncio.timeout(45):
            while len(await bench.page.tries()) == len(tries):
                await asyncio.sleep(0.01)
        bench.ready = False  # as the session is not, until the new page is there, with what is given to it
        await bench.crash()
        await bench.page.give(key_of(0), told_of(b"x"), {"hang": True})
    for key, data in photos.items():
        await bench.page.give(key, told_of(data), data)
        bench.tell(key, data)
    bench.ready = True
    await bench.ended(*photos)
    [suspect] = await bench.records(key_of(0))
    assert (suspect.state, suspect.attempts, suspect.crashed) == (MediaState.SEEN, 0, 2)


async def test_bytes_that_are_not_the_message_s_are_fetched_again(bench: Bench, s3: S3Server) -> None:
    data = os.urandom(5000)
    await bench.page.give(key_of(1), told_of(data), data[:-1], bytes(5000), data)
    bench.tell(key_of(1), data)
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert (media["status"], media["attempts"]) == ("stored", 2)
    assert objects(s3) == [data]


@pytest.mark.parametrize("told", [{"size": MAX_BYTES + 1}, {"size": 10}, {"size": None, "sha256": None}])
async def test_what_is_too_large_is_a_dead_letter_and_may_be_tried_again(bench: Bench, told: dict[str, Any]) -> None:
    """Whether its message says so, or only the file itself."""
    data = bytes(MAX_BYTES + 1)
    page_told = told_of(data) | ({"size": told["size"]} if told["size"] else {"size": 0})
    await bench.page.give(key_of(1), page_told, data, os.urandom(10))
    bench.tell(key_of(1), data, **told)
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert (media["status"], media["error"], media["url"]) == ("failed", "too_large", None)
    assert await bench.page.tries() == ([] if told["size"] == MAX_BYTES + 1 else [key_of(1)])
    assert not bench.files()
    assert await bench.keeper.retry([key_of(1), "true_x@c.us_unknown"]) == (1, ["true_x@c.us_unknown"])
    if told["size"] is None:  # nothing was told of it that could differ
        async with asyncio.timeout(45):
            while (await bench.ended(key_of(1)))[key_of(1)]["status"] != "stored":
                await asyncio.sleep(0.01)


async def test_what_nobody_has_is_tried_later_and_meanwhile_others_are_stored(bench: Bench) -> None:
    good, bad = os.urandom(1000), os.urandom(1000)
    await bench.page.give(key_of(1), told_of(bad), {"stage": "ERROR_UNKNOWN"})
    await bench.page.give(key_of(2), told_of(good), good)
    bench.tell(key_of(1), bad)
    bench.tell(key_of(3), os.urandom(1000))  # the page knows no such message
    bench.tell(key_of(2), good)
    await bench.ended(key_of(2))
    async with asyncio.timeout(45):
        while len(tried := [r for r in await bench.records(key_of(1), key_of(3)) if r.attempts]) < 2:
            await asyncio.sleep(0.01)
    assert {(record.state, record.problem) for record in tried} == {(MediaState.SEEN, "unfetchable")}
    assert [media["key"] for media in await bench.events()] == [key_of(2)]
