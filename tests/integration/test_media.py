"""The photo ledger worked off on real parts: Chromium, Redis, the child process, S3. Only the page is a test's own."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.media.files import Files
from browser_agent.media.keeper import MediaKeeper
from browser_agent.media.ledger import Ledger
from browser_agent.media.process import MediaProcess
from browser_agent.media.record import MediaRecord, MediaState
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
from browser_agent.whatsapp.media import ANSWER_WITHIN_S, MediaRefused, read_media, release_media
from tests.harness.media_page import MediaPage, media_page
from tests.harness.redis_server import RedisServer
from tests.harness.s3_proxy import Hang, Status
from tests.harness.s3_server import S3Server
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.events import EventType, MediaRef, MessageData, Person
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
MAX_BYTES = 4 * 1024 * 1024
SENT_AT = datetime.now(UTC)
GROUPS = [f"12036300000000000{n}@g.us" for n in range(5)]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[MediaPage]:
    async with media_page(tmp_path) as page:
        yield page


@dataclass
class Bench:
    """One agent's worth of media, which may be started again on what the former one left."""

    client: "redis.asyncio.Redis"
    page: MediaPage
    folder: Path
    environ: dict[str, str]
    ready: bool = True
    epoch: int = 0
    keeper: MediaKeeper = field(init=False)
    event_log: EventLog = field(init=False)
    running: list["asyncio.Task[None]"] = field(default_factory=list)

    async def start(self) -> None:
        fence = Fence(self.client, NAMES)
        await fence.take()
        self.event_log = EventLog(self.client, NAMES, fence)
        self.keeper = MediaKeeper(
            Ledger(self.client, NAMES),
            self.event_log,
            Files(self.folder / "media"),
            MediaProcess(self.environ),
            "s1",
            MAX_BYTES,
            page=lambda: self.page.page,
            is_ready=lambda: self.ready,
            gate_backoff=Backoff(0.1, 0.5),
        )
        self.running = [asyncio.create_task(self.event_log.run()), asyncio.create_task(self.keeper.run())]

    async def stop(self) -> None:
        for task in reversed(self.running):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def tell(self, key: str, data: bytes, **told: Any) -> None:
        """The message event, as the inbox tells it."""
        message = _message(key, {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} | told)
        also = self.keeper.entering(message)
        self.event_log.publish(EventType.MESSAGE, message, claim=key, also=also)

    async def events(self, kind: str = "media") -> list[dict[str, Any]]:
        entries: Any = await self.client.xrange(NAMES.events)
        events = [json.loads(fields["event"]) for _, fields in entries]
        return [event["data"] for event in events if event["type"] == kind]

    async def ended(self, *keys: str, within_s: float = 20) -> dict[str, dict[str, Any]]:
        """The last media event of each of these."""
        async with asyncio.timeout(within_s):
            while not (found := {data["key"]: data for data in await self.events()}).keys() >= set(keys):
                await asyncio.sleep(0.01)
        return found

    async def records(self, *keys: str) -> list[MediaRecord]:
        return list((await self.keeper.ledger.records(keys)).values())

    async def crash(self) -> None:
        """The page's process dies, and the page is loaded anew."""
        await asyncio.gather(self.page.page.session.call("Page.crash", within_s=1), return_exceptions=True)
        async with asyncio.timeout(10):
            await self.page.page.crashed.wait()
        await self.page.page.reload()

    def files(self) -> list[Path]:
        folder = self.folder / "media"
        return list(folder.iterdir()) if folder.exists() else []


@pytest.fixture
async def bench(redis_server: RedisServer, s3: S3Server, page: MediaPage, tmp_path: Path) -> AsyncIterator[Bench]:
    s3.reset()
    client = redis.asyncio.Redis(port=redis_server.port, decode_responses=True)
    environ = {**os.environ, "DATA_DIR": str(tmp_path / "data"), **s3.settings(), "MEDIA_STORE": "s3"}
    bench = Bench(client, page, tmp_path, environ)
    await bench.start()
    yield bench
    await bench.stop()
    await client.aclose()


def key_of(n: int, group: str = GROUPS[0]) -> str:
    return f"false_{group}_ID{n}_393331111111@c.us"


def told_of(data: bytes, mimetype: str = "image/jpeg") -> dict[str, Any]:
    """What the page's model says of a file."""
    filehash = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"size": len(data), "filehash": filehash, "mimetype": mimetype}


def _message(key: str, media: dict[str, Any]) -> MessageData:
    ref: dict[str, Any] = {"mimetype": "image/jpeg", "filename": None, "width": 1, "height": 1} | media
    return MessageData(
        key=key,
        chat_id=key.split("_")[1],
        chat_name=None,
        is_group=True,
        author=Person(lid=None, phone=None),
        from_me=False,
        type="image",
        raw_type="image",
        text=None,
        sent_at=SENT_AT,
        quoted_key=None,
        target_key=None,
        album_key=None,
        mentions=[],
        forwarded=False,
        ephemeral=False,
        view_once=False,
        source="live",
        media=MediaRef(status="pending", **ref),
        location=None,
        contacts=[],
        poll=None,
        members=None,
    )


def objects(s3: S3Server) -> list[bytes]:
    names = s3.keys()
    return [s3.get(name) for name in names]


def object_of(s3: S3Server, data: dict[str, Any]) -> bytes:
    return s3.get(data["url"].removeprefix(f"s3://{s3.bucket}/"))


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
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(15):
        while not any(record.attempts for record in await bench.records(key_of(1))):
            await asyncio.sleep(0.05)


async def test_a_message_told_again_is_answered_again(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(1), told_of(data), data)
    bench.tell(key_of(1), data)
    await bench.ended(key_of(1))
    message = _message(key_of(1), {"size": 1000, "sha256": hashlib.sha256(data).hexdigest()})
    bench.event_log.publish(EventType.MESSAGE, message, also=bench.keeper.entering(message))
    async with asyncio.timeout(10):
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
    assert (await bench.ended(key_of(8), within_s=20))[key_of(8)]["status"] == "stored"
    hung = [key_of(n) for n in range(8)]
    async with asyncio.timeout(20):
        while {(r.state, r.problem) for r in await bench.records(*hung)} != {(MediaState.SEEN, "gone")}:
            await asyncio.sleep(0.05)


async def test_nothing_runs_on_in_the_page_for_a_file_that_is_not_waited_for_any_more(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(1), told_of(data), {"stage": "REUPLOADING", "hang": True})
    bench.tell(key_of(1), data)
    async with asyncio.timeout(15):
        while not [r for r in await bench.records(key_of(1)) if r.problem == "gone"]:
            await asyncio.sleep(0.05)
    assert await bench.page.timers() == 0


async def test_a_file_that_comes_too_late_is_let_go(bench: Bench, tmp_path: Path) -> None:
    """Whether the page is too slow, or it is we that did not wait."""
    page, data = bench.page.page, os.urandom(100_000)
    late = {"late_ms": 700, "data": base64.b64encode(data).decode()}
    for n, patience_s in ((1, 0.2), (2, -ANSWER_WITHIN_S + 0.2)):
        await bench.page.give(key_of(n), told_of(data), late)
        with pytest.raises((MediaRefused, PageTimeout)):
            await read_media(page, key_of(n), tmp_path / "late", MAX_BYTES, patience_s)
        await asyncio.sleep(1)
        release_media(page, key_of(n))
    assert await bench.page.blobs() == 0
    assert await bench.page.timers() == 0


async def test_a_file_that_the_browser_does_not_hand_out_is_its_own_trouble(bench: Bench) -> None:
    await bench.page.give(key_of(1), told_of(b"x"), {"unreadable": True})
    bench.tell(key_of(1), b"x")
    async with asyncio.timeout(15):
        while not any(record.attempts for record in await bench.records(key_of(1))):
            await asyncio.sleep(0.05)
    assert (await bench.records(key_of(1)))[0].interrupted == 0


async def test_a_file_that_the_page_dies_over_is_tried_alone_and_the_others_are_stored(bench: Bench) -> None:
    photos = {key_of(n): os.urandom(1000 + n) for n in range(1, 9)}
    await bench.page.give(key_of(0), told_of(b"x"), {"hang": True})
    bench.tell(key_of(0), b"x")
    for _ in range(2):
        tries = await bench.page.tries()
        async with asyncio.timeout(15):
            while len(await bench.page.tries()) == len(tries):
                await asyncio.sleep(0.01)
        await bench.crash()
        await bench.page.give(key_of(0), told_of(b"x"), {"hang": True})
    for key, data in photos.items():
        await bench.page.give(key, told_of(data), data)
        bench.tell(key, data)
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
        async with asyncio.timeout(10):
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
    tried_once = {(MediaState.SEEN, "unfetchable", 1)}
    async with asyncio.timeout(10):
        while {(r.state, r.problem, r.attempts) for r in await bench.records(key_of(1), key_of(3))} != tried_once:
            await asyncio.sleep(0.01)
    assert [media["key"] for media in await bench.events()] == [key_of(2)]


# -- what the surroundings do ----------------------------------------------------------------------------------------


async def test_while_not_ready_nothing_is_fetched_and_nothing_counted(bench: Bench) -> None:
    data = os.urandom(1000)
    bench.ready = False
    await bench.page.give(key_of(1), told_of(data), data)
    bench.tell(key_of(1), data)
    assert await bench.event_log.flushed(5)
    await asyncio.sleep(1.5)
    assert await bench.page.tries() == []
    bench.ready = True
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert (media["status"], media["attempts"]) == ("stored", 0)


async def test_a_page_that_goes_away_meanwhile_is_no_attempt(bench: Bench) -> None:
    data = os.urandom(1000)
    await bench.page.give(key_of(1), told_of(data), {"hang": True})
    bench.tell(key_of(1), data)
    async with asyncio.timeout(10):
        while await bench.page.tries() != [key_of(1)]:
            await asyncio.sleep(0.01)
    await bench.page.page.navigate()
    await bench.page.page.probe()
    await bench.page.give(key_of(1), told_of(data), data)
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
    async with asyncio.timeout(30):
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
    async with asyncio.timeout(10):
        while (record := await bench.keeper.ledger.record(key_of(1))) is None or record.state != MediaState.VERIFIED:
            await asyncio.sleep(0.01)
    pid = bench.keeper.process.pid
    await bench.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    for name in ("stranger", "stranger.part"):
        (bench.folder / "media" / name).write_bytes(b"x")
    s3.faults.clear()
    bench.ready = False  # it needs no page
    await bench.start()
    media = (await bench.ended(key_of(1)))[key_of(1)]
    assert media["status"] == "stored"
    assert await bench.page.tries() == [key_of(1)]
    async with asyncio.timeout(5):
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
    link = await bench.keeper.process.ask(request, Link, 10)
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
        assert (await bench.keeper.process.ask(Exists(url=url), Existing, 10)).exists is exists


async def test_what_nobody_remembers_is_found_by_its_key_and_its_content(bench: Bench, s3: S3Server) -> None:
    sha256 = hashlib.sha256(b"photo").hexdigest()
    s3.put("media/s1/a.jpg", b"photo")
    for key, of, url in (
        ("media/s1/a.jpg", sha256, f"s3://{s3.bucket}/media/s1/a.jpg"),
        ("media/s1/a.jpg", "ab" * 32, None),
        ("media/s1/b.jpg", sha256, None),
    ):
        assert (await bench.keeper.process.ask(Find(key=key, sha256=of), Found, 10)).url == url


async def test_the_child_tells_whose_trouble_it_is(bench: Bench, s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(b"photo")
    request = Store(path=str(path), key="media/s1/{sha256}.jpg", sha256=None, size=None, mimetype=None)
    process = bench.keeper.process
    with pytest.raises(LocalFileBad):
        await process.ask(request.model_copy(update={"path": str(tmp_path)}), Stored, 10)
    s3.faults.add(Status(400, "EntityTooLarge"), times=1)
    with pytest.raises(ObjectRefused):
        await process.ask(request, Stored, 10)
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
