"""Files while something around them fails: the session, the page, the store, the child process, the disk."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from browser_agent.media.files import Files
from browser_agent.media.process import MediaProcess
from browser_agent.media.requests import (
    Existing,
    Exists,
    Find,
    Found,
    Link,
    LocalFileBad,
    ProcessDied,
    SignLink,
    Store,
    Stored,
)
from browser_agent.session.errors import ObjectRefused, StoreUnavailable
from tests.harness.media_bench import (
    NAMES,
    Bench,
    key_of,
    object_of,
    objects,
    told_of,
)
from tests.harness.s3_proxy import Hang, Status
from tests.harness.s3_server import S3Server
from whatsapp_contract.media_record import MediaState

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- what the surroundings do ----------------------------------------------------------------------------------------


async def test_while_not_ready_nothing_is_fetched_and_nothing_counted(bench: Bench) -> None:
    data = os.urandom(1000)
    bench.ready = False
    await bench.page.give(key_of(1), told_of(data), data)
    bench.tell(key_of(1), data)
    assert await bench.event_log.flushed(20)
    await asyncio.sleep(1.5)
    assert await bench.page.tries() == []
    bench.ready = True
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert (media["status"], media["attempts"]) == ("stored", 0)


async def test_a_page_that_goes_away_meanwhile_is_no_attempt(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(1), told_of(data), {"hang": True})
    bench.tell(key_of(1), data)
    async with asyncio.timeout(45):
        while await bench.page.tries() != [key_of(1)]:
            await asyncio.sleep(0.01)
    going = asyncio.create_task(bench.page.load())
    async with asyncio.timeout(20):
        while not any(record.interrupted for record in await bench.records(key_of(1))):
            await asyncio.sleep(0.01)
    bench.ready = False  # as the session is not, until the new page is there, with what is given to it
    await going
    await bench.page.give(key_of(1), told_of(data), data)
    bench.ready = True
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert (media["status"], media["attempts"]) == ("stored", 0)


@pytest.mark.parametrize("fault", [Status(503), Status(403, "AccessDenied")])
async def test_a_store_that_refuses_for_a_while_loses_nothing_and_alerts_once(
    bench: Bench, s3: S3Server, fault: Status
) -> None:
    photos = {key_of(n): os.urandom(20_000 + n) for n in range(60)}
    for key, data in photos.items():
        await bench.page.give(key, told_of(data), data)
    s3.faults.add(fault)
    for key, data in photos.items():
        bench.tell(key, data)
    async with asyncio.timeout(60):
        while not await bench.events("alert") or len(bench.files()) < 50:
            await asyncio.sleep(0.05)
    assert await bench.events() == []
    assert len(bench.files()) == 50  # no more ahead
    assert all(path.stat().st_mode & 0o077 == 0 for path in (*bench.files(), bench.folder / "media"))
    s3.faults.clear()
    ended = await bench.ended(*photos, within_s=60)
    assert {media["status"] for media in ended.values()} == {"stored"}
    assert {media["attempts"] for media in ended.values()} == {0}
    assert [alert["code"] for alert in await bench.events("alert")] == ["media_store_trouble"]


async def test_the_child_killed_at_any_time_costs_nothing(bench: Bench, s3: S3Server) -> None:
    photos = {key_of(n): os.urandom(100_000 + n) for n in range(60)}
    for key, data in photos.items():
        await bench.page.give(key, told_of(data), data)
    for key, data in photos.items():
        bench.tell(key, data)
    killed = 0
    while len(await bench.events()) < len(photos):
        if killed < 2 and (pid := bench.keeper.process.pid) is not None and await bench.events():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed += 1
        await asyncio.sleep(0.2)
    assert killed
    assert {media["status"] for media in (await bench.ended(*photos)).values()} == {"stored"}
    assert sorted(objects(s3)) == sorted(photos.values())


async def test_what_lies_on_the_disk_is_not_fetched_again_and_the_rest_is_swept(bench: Bench, s3: S3Server) -> None:
    data = os.urandom(20_000)
    await bench.page.give(key_of(1), told_of(data), data)
    s3.faults.add(Hang())
    bench.tell(key_of(1), data)
    async with asyncio.timeout(45):
        while (record := await bench.keeper.ledger.record(key_of(1))) is None or record.state != MediaState.VERIFIED:
            await asyncio.sleep(0.01)
    pid = bench.keeper.process.pid
    await bench.stop()
    assert pid is not None
    async with asyncio.timeout(20):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.01)
    for name in ("stranger", "stranger.part"):
        (bench.folder / "media" / name).write_bytes(b"x")
    s3.faults.clear()
    bench.ready = False  # it needs no page
    await bench.start()
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert media["status"] == "stored"
    assert await bench.page.tries() == [key_of(1)]
    async with asyncio.timeout(20):
        while bench.files():
            await asyncio.sleep(0.01)


async def test_a_torn_file_on_the_disk_is_fetched_again(bench: Bench, s3: S3Server) -> None:
    data = os.urandom(20_000)
    await bench.page.give(key_of(1), told_of(data), data)
    await bench.stop()
    path = Files(bench.folder / "media").begin(key_of(1))
    path.write_bytes(data[:10_000])
    Files(bench.folder / "media").complete(key_of(1))
    await bench.start()
    bench.tell(key_of(1), data)
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert media["status"] == "stored"
    assert object_of(s3, media) == data


async def test_a_file_not_looked_at_for_long_is_looked_at_before_it_is_named(bench: Bench, s3: S3Server) -> None:
    """Somebody may have deleted it."""
    data = os.urandom(1000)
    sha256 = hashlib.sha256(data).hexdigest()
    for n in (1, 2):
        await bench.page.give(key_of(n), told_of(data), data)
    bench.tell(key_of(1), data)
    await bench.ended(key_of(1))
    kept = json.loads(str(await bench.client.hget(NAMES.media_urls, sha256)))
    await bench.client.hset(NAMES.media_urls, sha256, json.dumps(kept | {"checked_at": 1.0}))
    s3.reset()
    bench.tell(key_of(2), data)
    media = (await bench.ended(key_of(2)))[key_of(2)]
    assert object_of(s3, media) == data


# -- the child's other work ------------------------------------------------------------------------------------------


async def test_a_link_opens_the_object_without_credentials(bench: Bench, s3: S3Server) -> None:
    s3.put("media/s1/x.jpg", b"photo")
    request = SignLink(url=f"s3://{s3.bucket}/media/s1/x.jpg", expires_in_s=60)
    link = await bench.keeper.process.ask(request, Link, 45)
    assert link.url.startswith(f"{s3.url}/{s3.bucket}/media/s1/x.jpg?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link.url
    assert "X-Amz-Expires=60" in link.url


async def test_what_is_not_in_this_store_does_not_exist(bench: Bench, s3: S3Server) -> None:
    s3.put("a.jpg", b"photo")
    for url, exists in (
        (f"s3://{s3.bucket}/a.jpg", True),
        (f"s3://{s3.bucket}/b.jpg", False),
        ("s3://another/a.jpg", False),
        ("file:///a.jpg", False),
    ):
        assert (await bench.keeper.process.ask(Exists(url=url), Existing, 45)).exists is exists


async def test_what_nobody_remembers_is_found_by_its_key_and_its_content(bench: Bench, s3: S3Server) -> None:
    sha256 = hashlib.sha256(b"photo").hexdigest()
    s3.put("media/s1/a.jpg", b"photo")
    for key, of, url in (
        ("media/s1/a.jpg", sha256, f"s3://{s3.bucket}/media/s1/a.jpg"),
        ("media/s1/a.jpg", "ab" * 32, None),
        ("media/s1/b.jpg", sha256, None),
    ):
        assert (await bench.keeper.process.ask(Find(key=key, sha256=of), Found, 45)).url == url


async def test_the_child_tells_whose_trouble_it_is(bench: Bench, s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(b"photo")
    request = Store(path=str(path), key="media/s1/{sha256}.jpg", sha256=None, size=None, mimetype=None)
    process = bench.keeper.process
    with pytest.raises(LocalFileBad):
        await process.ask(request.model_copy(update={"path": str(tmp_path)}), Stored, 45)
    s3.faults.add(Status(400, "EntityTooLarge"), times=1)
    with pytest.raises(ObjectRefused):
        await process.ask(request, Stored, 45)
    s3.faults.add(Hang())
    asking = asyncio.create_task(process.ask(request, Stored, 30))
    await asyncio.sleep(0.5)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ProcessDied):
        await asking


async def test_a_child_that_does_not_come_up_is_no_file_s_trouble(bench: Bench, tmp_path: Path) -> None:
    process = MediaProcess({**bench.environ, "S3_ENDPOINT_URL": "no address"})
    with pytest.raises(StoreUnavailable):
        await process.ask(Exists(url="s3://b/k"), Existing, 10)
    await process.close()
