"""The agent's part in messages out, on a real page and a real Redis, with a worker in the test's own event loop."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.sending.sends import Sends
from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.models import AcksSeen, PageEvent
from browser_agent.whatsapp.page import WhatsAppPage
from tests.harness.redis_server import RedisServer
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.wajs import BUNDLE
from whatsapp_contract import commands
from whatsapp_contract.commands import Command
from whatsapp_contract.errors import BrowserGone
from whatsapp_contract.events import Event
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.results import SendResult
from whatsapp_contract.send_queue import key_in
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState

NAMES = SessionNames("s1")
QUICK = {"SEND_RATE": "60000", "SEND_RATE_PER_CHAT": "60000", "SEND_RATE_STRANGERS": "60000"}


class SmallAgent:
    """One life of the agent. `carried` has what carrying each send was answered: seconds, or None at its end."""

    def __init__(self, client: Any, settings: Settings, fence: Fence) -> None:
        self.redis = client
        self.page: WhatsAppPage | None = None
        self.carried: dict[str, list[float | None]] = {}
        self.event_log = EventLog(client, NAMES, fence)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.sends = Sends(
            client, settings, self.event_log, fence, page=self._page, is_ready=self.is_ready, aside=self.beside
        )

    def is_ready(self) -> bool:
        snapshot = self.page.snapshot if self.page else None
        return bool(snapshot and snapshot.authenticated and (snapshot.mode, snapshot.info) == ("MAIN", "NORMAL"))

    async def send(self, name: str, key: str, **args: Any) -> SendResult:
        """Give a command, as the bus would."""
        _spec, parsed = commands.parse_args(Command(name=name, args={"idempotency_key": key, **args}))
        result: SendResult = await self.sends.accept(parsed)  # type: ignore[arg-type]
        return result

    async def status(self, key: str, within_s: float = 60) -> SendResult:
        """How a send stands when it has its end."""
        async with asyncio.timeout(within_s):
            while (result := await self.sends.status(key)).status == "queued":
                await asyncio.sleep(0.02)
        return result

    async def events(self, *types: str) -> list[Event]:
        """What was told so far, by any life."""
        assert await self.event_log.flushed(30)
        entries = await self.redis.xrange(NAMES.events)
        found = [Event.model_validate({**json.loads(fields["event"]), "id": entry}) for entry, fields in entries]
        return [event for event in found if not types or event.type in types]

    async def acks(self, key: str) -> list[str]:
        """The stages that were told of a send; who it was, where somebody was."""
        told = [event.data for event in await self.events("message_ack") if event.data["idempotency_key"] == key]
        return [data["ack"] + (f" by {data['by']['phone']}" if data["by"] else "") for data in told]

    async def until_acks(self, key: str, expected: list[str], within_s: float = 60) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while await self.acks(key) != expected:
                    await asyncio.sleep(0.02)
        told = await self.acks(key)
        assert told == expected, told

    async def until_ready(self, within_s: float = 60) -> None:
        async with asyncio.timeout(within_s):
            while not self.is_ready():
                await asyncio.sleep(0.02)

    def beside(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_page_event(self, event: PageEvent) -> None:
        if isinstance(event, AcksSeen):
            self.sends.on_acks(event)
        self.sends.on_state(SessionState.READY if self.is_ready() else SessionState.SYNCING, None)

    def _page(self) -> WhatsAppPage:
        if self.page is None:
            raise BrowserGone("there is none")
        return self.page

    # -- the worker --------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Carry what is on the queue, each send on its own, when it is due."""
        while True:
            due = await self.redis.zrangebyscore(NAMES.send_queue_due, "-inf", time.time())
            for message in due:
                if await self.redis.zrem(NAMES.send_queue_due, message):
                    self.beside(self._carry(message))
            while (message := await self.redis.rpop(NAMES.send_queue)) is not None:
                self.beside(self._carry(message))
            await asyncio.sleep(0.03)

    async def _carry(self, message: str) -> None:
        key = key_in(message)
        carried = await self.sends.carry(key, None)
        self.carried.setdefault(key, []).append(carried.retry_in_s)
        if carried.retry_in_s is not None:
            await self.redis.zadd(NAMES.send_queue_due, {message: time.time() + carried.retry_in_s})


@contextlib.contextmanager
def settings_in(folder: Path, url: str, **variables: str) -> Iterator[Settings]:
    environ = {"DATA_DIR": str(folder / "data"), "WHATSAPP_SESSION_ID": "s1", "WHATSAPP_WEB_URL": url}
    yield Settings.from_env({**environ, **QUICK, **variables})


@contextlib.asynccontextmanager
async def small_agent(
    server: RedisServer,
    whatsapp: WhatsAppWeb,
    folder: Path,
    *,
    with_page: bool = True,
    page: WhatsAppPage | None = None,
    **variables: str,
) -> AsyncIterator[SmallAgent]:
    """A life of the agent: linked, ready and working, on a blank page that is given, or on one of its own with
    the folder's profile, unless it has none."""
    async with contextlib.AsyncExitStack() as stack:
        settings = stack.enter_context(settings_in(folder, whatsapp.url, **variables))
        client = await stack.enter_async_context(connect_async(server.url))
        fence = Fence(client, NAMES)
        await fence.take()
        agent = SmallAgent(client, settings, fence)
        running = [asyncio.create_task(agent.event_log.run()), asyncio.create_task(agent.work())]
        try:
            if page is not None:
                await stack.enter_async_context(use_page(agent, page, whatsapp))
            elif with_page:
                await open_page(agent, stack, settings, whatsapp)
            yield agent
        finally:
            await agent.sends.close()
            await ended({*running, *agent.tasks})


async def ended(left: set["asyncio.Task[Any]"]) -> None:
    """Cancel them until each is done: on Python 3.11 a library's `asyncio.wait_for` may swallow a cancellation."""
    while left:
        for task in left:
            task.cancel()
        _done, left = await asyncio.wait(left, timeout=0.1)


async def open_page(
    agent: SmallAgent, stack: contextlib.AsyncExitStack, settings: Settings, whatsapp: WhatsAppWeb
) -> None:
    """Give the agent a browser on its profile, with what the session keeps of the page's localStorage: what a killed
    browser has of it on the disk is up to a minute old."""
    dump = settings.session_dir / "local_storage.json"
    kept = dump.read_text() if dump.exists() else None
    opened = await stack.enter_async_context(blank_page(settings.session_dir / "profile", whatsapp, kept))
    await _link(agent, opened, whatsapp)
    dump.write_text(json.dumps(await opened.local_storage()))


@contextlib.asynccontextmanager
async def use_page(agent: SmallAgent, page: WhatsAppPage, whatsapp: WhatsAppWeb) -> AsyncIterator[None]:
    """Give the agent a blank page for a while, of which nothing is left afterwards."""
    await _link(agent, page, whatsapp)
    yield
    page.on_event = lambda _event: None
    where = {"origin": whatsapp.url.rstrip("/"), "storageTypes": "all"}
    await page.session.call("Page.navigate", {"url": "about:blank"}, within_s=30)
    await page.session.call("Storage.clearDataForOrigin", where, within_s=30)


@contextlib.asynccontextmanager
async def blank_page(profile: Path, whatsapp: WhatsAppWeb, kept: str | None = None) -> AsyncIterator[WhatsAppPage]:
    """A page of a browser of its own, not navigated yet."""
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=30)
        yield await WhatsAppPage.open(browser, chromium, whatsapp.url, BUNDLE, kept)
        await cdp.connection_of(browser).dispose()


async def _link(agent: SmallAgent, page: WhatsAppPage, whatsapp: WhatsAppWeb) -> None:
    agent.page = page
    page.on_event = agent.on_page_event
    await page.navigate()
    if not whatsapp.connections()["devices"]:
        await asyncio.to_thread(whatsapp.scan)
    await agent.until_ready()
