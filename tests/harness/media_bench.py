"""The photo ledger worked off on real parts: Chromium, Redis, the child process, S3. Only the page is a test's own."""

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis.asyncio

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.media.files import Files
from browser_agent.media.keeper import MediaKeeper
from browser_agent.media.ledger import Ledger
from browser_agent.media.process import MediaProcess
from tests.harness.media_page import MediaPage
from tests.harness.messages import message_with
from tests.harness.s3_server import S3Server
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.events import EventType, MediaRef, MessageData
from whatsapp_contract.media_record import MediaRecord
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
MAX_BYTES = 4 * 1024 * 1024
SENT_AT = datetime.now(UTC)
GROUPS = [f"12036300000000000{n}@g.us" for n in range(5)]


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
        message = message_of(key, {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} | told)
        also = self.keeper.entering(message)
        self.event_log.publish(EventType.MESSAGE, message, claim=key, also=also)

    async def events(self, kind: str = "media") -> list[dict[str, Any]]:
        entries: Any = await self.client.xrange(NAMES.events)
        events = [json.loads(fields["event"]) for _, fields in entries]
        return [event["data"] for event in events if event["type"] == kind]

    async def ended(self, *keys: str, within_s: float = 60) -> dict[str, dict[str, Any]]:
        """The last media event of each of these."""
        async with asyncio.timeout(within_s):
            while not (found := {data["key"]: data for data in await self.events()}).keys() >= set(keys):
                await asyncio.sleep(0.01)
        return found

    async def records(self, *keys: str) -> list[MediaRecord]:
        return list((await self.keeper.ledger.records(keys)).values())

    async def crash(self) -> None:
        """The page's process dies, and the page is loaded anew."""
        await asyncio.gather(self.page.page.session.call("Page.crash", within_s=5), return_exceptions=True)
        async with asyncio.timeout(60):
            await self.page.page.crashed.wait()
        await self.page.page.reload()

    def files(self) -> list[Path]:
        folder = self.folder / "media"
        return list(folder.iterdir()) if folder.exists() else []


def key_of(n: int, group: str = GROUPS[0]) -> str:
    """A message's."""
    return f"false_{group}_ID{n}_393331111111@c.us"


def told_of(data: bytes, mimetype: str = "image/jpeg") -> dict[str, Any]:
    """What the page's model says of a file."""
    filehash = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"size": len(data), "filehash": filehash, "mimetype": mimetype}


def message_of(key: str, media: dict[str, Any]) -> MessageData:
    """A message with a photo, as the inbox makes it."""
    ref: dict[str, Any] = {"mimetype": "image/jpeg", "filename": None, "width": 1, "height": 1} | media
    return message_with(MediaRef(status="pending", **ref), key, SENT_AT, key.split("_")[1])


def objects(s3: S3Server) -> list[bytes]:
    """All that is in the bucket."""
    names = s3.keys()
    return [s3.get(name) for name in names]


def object_of(s3: S3Server, data: dict[str, Any]) -> bytes:
    """What a `media` event's url leads to."""
    return s3.get(data["url"].removeprefix(f"s3://{s3.bucket}/"))
