"""A keeper with real browsers, on a site of the test's own, and what it tells."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fakeredis.aioredis
import psutil

from browser_agent.browser_keeper import BrowserKeeper, BrowserSettings, Observer
from browser_agent.start_budget import StartBudget
from browser_agent.whatsapp.executable import find_executable
from whatsapp_contract.errors import StoreUnavailable
from whatsapp_contract.names import InstanceNames

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

WA_JS = "window.WPP = { isInjected: false, on() {} };"
DOCUMENT = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<title>site</title>"
DOWN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def running(profile: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and f"{profile}" in " ".join(process.cmdline()):
                found.append(process)
    return found


async def until(condition: Callable[[], object], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


class Site:
    """One document. While it is `mute` it takes connections and says nothing; while it is `down` its proxy says so."""

    def __init__(self) -> None:
        self.url = ""
        self.mute = False
        self.down = False
        self.asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.mute:
                await reader.read()
            writer.write(DOWN if self.down else DOCUMENT)
            await writer.drain()
        writer.close()


class Recorder(Observer):
    """What the keeper has told so far. `prepare` waits for the gate, and is refused as often as `refusals` says."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.causes: list[str | None] = []
        self.reasons: list[str] = []
        self.preparing: list[str] = []  # from before the gate on
        self.prepared: list[str] = []
        self.pages: list[WhatsAppPage] = []
        self.lost_at: float | None = None
        self.pauses_s: list[float] = []  # from a browser's loss until the next is prepared
        self.held: list[bool] = []  # whether each hold was news
        self.dump: str | None = None
        self.refusals = 0  # how often the store cannot be reached
        self.gate = asyncio.Event()
        self.gate.set()

    async def prepare(self, executable_version: str) -> None:
        if self.lost_at is not None:
            self.pauses_s.append(time.monotonic() - self.lost_at)
        self.preparing.append(executable_version)
        await self.gate.wait()
        self.prepared.append(executable_version)
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("no store")

    def local_storage(self) -> str | None:
        return self.dump

    def on_local_storage_given(self) -> None:
        self.dump = None

    def on_starting(self, reason: str) -> None:
        self.reasons.append(reason)
        self.lost_at = time.monotonic()

    def on_page(self, page: "WhatsAppPage") -> None:
        self.pages.append(page)

    def on_started(self, cause: str | None, starts: int) -> None:
        self.causes.append(cause)

    def on_held(self, until: float, *, is_news: bool) -> None:
        self.held.append(is_news)

    def on_failure(self, reason: str, error: str) -> None:
        self.failures.append(f"{reason}: {error}")


class Setting:
    """A browser that runs unless it is `broken`, and a keeper of it that is not running yet."""

    def __init__(self, folder: Path, site: Site, **options: Any) -> None:
        self.site = site
        self.broken = folder / "broken"
        self.executable = folder / "chrome"
        self.executable.write_text(
            f'#!/bin/sh\n[ -e {self.broken} ] && [ "$1" != --version ] && exit 1\nexec {find_executable(None)} "$@"\n'
        )
        self.executable.chmod(0o755)
        wa_js = folder / "wa.js"
        wa_js.write_text(WA_JS)
        self.profile = folder / "profile"
        settings = BrowserSettings(self.executable, sandbox=False, profile=self.profile, url=site.url, wa_js=wa_js)
        budget = StartBudget(fakeredis.aioredis.FakeRedis(), InstanceNames("sid", "instance"), 50, 600.0)
        self.told = Recorder()
        self.keeper = BrowserKeeper(settings, options.pop("budget", budget), self.told, **options)
        self.running: asyncio.Task[None]

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While its block runs, so does the keeper: an exception of its own fails the test."""
        self.running = asyncio.create_task(self.keeper.run())
        try:
            yield
            assert not self.running.done() or self.running.cancelled(), self.running.exception()
        finally:
            await self.stop()

    async def stop(self) -> None:
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def loaded(self) -> None:
        await until(lambda: self.keeper._loaded == self.keeper._opened > 0)


@asynccontextmanager
async def answering_site() -> AsyncIterator[Site]:
    """On an address of its own."""
    site = Site()
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield site
    finally:
        server.close()
