"""Keeps one browser with WhatsApp Web open: starts it, notices that it is gone, starts it again.

A dead browser is started again, with backoff where it does not come up, and counted: past the start budget there is
none until the budget's window has moved on or a person asks for one. A crashed page is loaded anew; one that crashes
again soon gets a new browser. A site that cannot be loaded is tried again and again, in a new browser every half hour.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.errors import BrowserGone, ContractError, PageTimeout
from whatsapp_contract.health import SITE_UNREACHABLE
from whatsapp_contract.logs import get_logger

from .start_budget import StartBudget
from .whatsapp.chromium import VERSION_FILE, Chromium, browser_version, open_chromium
from .whatsapp.executable import find_executable
from .whatsapp.net_errors import SiteUnreachable

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

CONNECT_WITHIN_S = 15.0
LIVED_WELL_S = 60.0  # a page that lived so long starts a new series of failures
# A browser that could not load the site for so long may itself be why, whatever its errors and the agent's own
# requests say. One that is new costs nothing: nobody is connected.
NEW_BROWSER_AFTER_S = 1800.0
HELD_TOLD_EVERY_S = 3600.0


@dataclass(frozen=True)
class BrowserSettings:
    """What a browser is opened with."""

    executable: Path | None
    sandbox: bool
    profile: Path
    url: str
    wa_js: Path


class Observer:
    """What the keeper tells, and asks, the agent; every method is called on the event loop and must not block."""

    async def prepare(self, executable_version: str) -> None:
        """Awaited before every start of a browser, for as long as it takes: no browser has the profile open."""

    def local_storage(self) -> str | None:
        """The JSON of a localStorage that the browser now opened is to start with."""
        return None

    def on_local_storage_given(self) -> None:
        """A document has started with it."""

    def on_starting(self, reason: str) -> None:
        """The browser, or its page, is coming up, or cannot (`site_unreachable`)."""

    def on_page(self, page: "WhatsAppPage") -> None:
        """A page is there; it is not loaded yet. Set its `on_event` here."""

    def on_started(self, cause: str | None, starts: int) -> None:
        """A browser runs. `cause` is None for the first of this life."""

    def on_held(self, until: float, *, is_news: bool) -> None:
        """The start budget is spent until then (epoch seconds). A browser that never comes up spends each start as it
        is given back: that is news once an hour."""

    def on_failure(self, reason: str, error: str) -> None:
        """A browser could not be started or was lost."""


class BrowserKeeper:
    """One per agent. `page` and `chromium` are None while there is none."""

    def __init__(
        self,
        settings: BrowserSettings,
        budget: StartBudget,
        observer: Observer,
        *,
        new_browser_after_s: float = NEW_BROWSER_AFTER_S,
    ) -> None:
        self.page: WhatsAppPage | None = None
        self.chromium: Chromium | None = None
        self.profile_in_use = False  # a browser has the profile open, be it just starting or ending
        self.closed_properly = False  # the last browser had time to write all that it held
        self.held_until: float | None = None
        self.load_error: str | None = None  # why the site cannot be loaded at present, in Chromium's words
        self.is_busy: Callable[[], bool] = lambda: False  # an operation of the agent's is under way with the page
        self._settings = settings
        self._budget = budget
        self._observer = observer
        self._new_browser_after_s = new_browser_after_s
        self._wanted = asyncio.Event()  # a person, or the ladder, wants a new browser now
        self._wanted_cause = ""
        self._held_told: tuple[float, int] | None = None  # when (monotonic), and how many browsers had loaded by then
        self._asked: str | None = None  # the cause they gave, until a browser was started for it
        self._opened = 0  # how many browsers were opened in this life
        self._loaded = 0  # which of them was the last whose page was loaded
        self._news = asyncio.Event()  # `_loaded` has changed

    async def run(self) -> None:
        """Keep a browser until cancelled; then close its page and wait for it to be gone."""
        backoff = Backoff(0.25, 30.0)
        cause: str | None = None
        while True:
            await self._wait_for_budget()
            opened_before = self._opened
            try:
                cause = await self._live(cause)
            except ContractError as error:
                cause = error.code
                self._observer.on_failure(cause, str(error))
                self._observer.on_starting(cause)
            # A page and its connection are cycles (pyppeteer's). Left to itself Python keeps those of some forty
            # browsers, 4 MiB, until it looks through its oldest objects. This takes 35 ms, in which there is no page.
            gc.collect()
            if self._wanted.is_set():
                continue
            # One that came up is not what the next try has to wait for; should it die over and over, the budget ends
            # that.
            if self._loaded > opened_before:
                backoff.reset()
            await self._pause(backoff.next_s())

    async def restart(self, cause: str, within_s: float) -> Chromium:
        """End the browser and wait for a new one whose page answers. Also when the start budget is spent.

        One that was already opened, though not loaded yet, is not new. Raises BrowserGone when that took too long.
        """
        opened_before = self._opened
        self._wanted_cause = cause
        self._wanted.set()
        try:
            async with asyncio.timeout(within_s):
                while self._loaded <= opened_before:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            if self._opened > opened_before and self.load_error is not None:
                message = f"a new browser runs, but WhatsApp Web cannot be loaded: {self.load_error}"
                raise BrowserGone(message) from None
            raise BrowserGone(f"no new browser within {within_s:g} s") from None
        if self.chromium is None:
            raise BrowserGone("the new browser was lost at once")
        return self.chromium

    # -- details -----------------------------------------------------------------------------------------------------

    async def _wait_for_budget(self) -> None:
        # Shielded, here and below: redis waits with asyncio.wait_for, which may swallow a cancellation (Python 3.11).
        while not self._wanted.is_set() and (until := await asyncio.shield(self._budget.held_until())) is not None:
            if self.held_until is None:
                self.held_until = until
                self._observer.on_held(until, is_news=self._is_held_news())
            self.held_until = until
            await self._pause(min(max(until - time.time(), 1.0), 60.0))
        self.held_until = None

    def _is_held_news(self) -> bool:
        now, told = time.monotonic(), self._held_told
        if told is not None and now - told[0] < HELD_TOLD_EVERY_S and told[1] == self._loaded:
            return False
        self._held_told = now, self._loaded
        return True

    async def _pause(self, wait_s: float) -> None:
        """Wait, unless a new browser is wanted meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wanted.wait()

    async def _unless_wanted(self, work: Coroutine[Any, Any, object]) -> bool:
        """Whether it was done before a new browser was wanted. Raises what it raises."""
        working, wanted = asyncio.create_task(work), asyncio.create_task(self._wanted.wait())
        try:
            await asyncio.wait({working, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return False
            working.result()
            return True
        finally:
            working.cancel()
            wanted.cancel()

    def _take_wanted(self) -> None:
        """The browser that is started next is the one that was asked for."""
        if self._wanted.is_set():
            self._asked = self._wanted_cause
            self._wanted.clear()

    async def _live(self, cause: str | None) -> str:
        """One browser's whole life. Answers why it ended."""
        self._take_wanted()
        await asyncio.shield(self._budget.spend())
        executable = find_executable(self._settings.executable)
        version = await browser_version(executable, self._settings.profile.parent / VERSION_FILE)
        await self._observer.prepare(version)
        self._take_wanted()  # who asked meanwhile
        self._opened += 1
        async with self._open(executable) as page:
            self._observer.on_started(self._asked or cause, await asyncio.shield(self._budget.count()))
            self._asked = None
            reason = await self._watch(page) if await self._load(page) else SITE_UNREACHABLE
            self._observer.on_starting(reason)
            return reason

    @contextlib.asynccontextmanager
    async def _open(self, executable: Path) -> AsyncIterator["WhatsAppPage"]:
        settings = self._settings
        # pyppeteer takes as long to import as Chromium to start: both at once.
        importing = asyncio.create_task(asyncio.to_thread(import_module, "browser_agent.whatsapp.page"))
        async with self._in_use(), open_chromium(executable, settings.profile, sandbox=settings.sandbox) as chromium:
            await importing
            from .whatsapp import cdp
            from .whatsapp.page import WhatsAppPage

            browser = await cdp.connect(chromium.endpoint, within_s=CONNECT_WITHIN_S)
            page: WhatsAppPage | None = None
            try:
                given = self._observer.local_storage()
                page = await WhatsAppPage.open(browser, chromium, settings.url, settings.wa_js, given)
                page.given_storage.on_given = self._observer.on_local_storage_given
                self.page, self.chromium = page, chromium
                self._observer.on_page(page)
                yield page
            finally:
                self.page = self.chromium = self.load_error = None
                try:
                    if page is not None:
                        self.closed_properly = await page.close()
                finally:
                    await cdp.connection_of(browser).dispose()

    @contextlib.asynccontextmanager
    async def _in_use(self) -> AsyncIterator[None]:
        self.profile_in_use, self.closed_properly = True, False
        try:
            yield
        finally:
            self.profile_in_use = False

    async def _load(self, page: "WhatsAppPage") -> bool:
        """Load the site. False where that could not be done for so long that a new browser is to try."""
        backoff = Backoff(0.5, 15.0)
        give_up_at = time.monotonic() + self._new_browser_after_s
        while time.monotonic() < give_up_at:
            try:
                if await self._unless_wanted(page.navigate()):
                    self.load_error = None
                    self._loaded = self._opened
                    self._news.set()
                return True
            except PageTimeout as error:
                is_news, self.load_error = self.load_error is None, str(error)
                if is_news:
                    log.warning(
                        "WhatsApp Web cannot be loaded, so there is no code; see whatsapp-container doctor",
                        error=self.load_error,
                    )
                    self._observer.on_starting(SITE_UNREACHABLE)
            await self._pause(backoff.next_s())
            if self._wanted.is_set():
                return True
        log.warning("a new browser is to load WhatsApp Web", error=self.load_error)
        return False

    async def _watch(self, page: "WhatsAppPage") -> str:
        """Wait until the browser is lost or a new one wanted; a crashed page, or one
        whose site could not be reached when it was loaded anew, is loaded meanwhile."""
        crashed_at = float("-inf")
        while True:
            reason = await self._next_end(page)
            if reason == SITE_UNREACHABLE:
                if not await self._load(page):
                    return reason
                continue
            if reason != "page_crashed":
                return reason
            if time.monotonic() - crashed_at < LIVED_WELL_S:
                return reason
            crashed_at = time.monotonic()
            log.warning("the page crashed and is loaded anew")
            self._observer.on_starting(reason)
            with contextlib.suppress(SiteUnreachable):
                await self._unless_wanted(page.reload())

    async def _next_end(self, page: "WhatsAppPage") -> str:
        """`browser_gone`, `page_crashed`, `restart_browser` or `site_unreachable`, whichever comes first."""
        ends = {
            asyncio.create_task(page.browser_lost.wait()): "browser_gone",
            asyncio.create_task(self._crashed_by_itself(page)): "page_crashed",
            asyncio.create_task(self._wanted.wait()): "restart_browser",
            asyncio.create_task(page.unloaded.wait()): SITE_UNREACHABLE,
        }
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return next(reason for task, reason in ends.items() if task in done)
        finally:
            for task in ends:
                task.cancel()

    async def _crashed_by_itself(self, page: "WhatsAppPage") -> None:
        """A reload may crash the page on purpose; that is its own business."""
        while True:
            await page.crashed.wait()
            if not self.is_busy():
                return
            await asyncio.sleep(0.1)
