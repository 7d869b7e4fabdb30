"""WhatsApp Web's page: what we ask of it, each with a deadline.

What works on old and new builds of the site (measured with wa-js 4.6.0, see facts on wa-js): the stream's mode and
info tell the state; `Socket.reconnect()` resets; `Socket.takeover()` ends a conflict; `Socket.logout()` logs out and
is over when the page has gone to `?post_logout=1`; `BackendEventBus.triggerRefreshQR()` asks for a new code.

A reset is proven by the socket's state leaving CONNECTED and coming back, and by a frame from the server on a
WebSocket that was opened after the reset was asked for. Where Chromium never showed a WebSocket of the page (one in a
process that we cannot look into) the state alone has to do.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError
from pyppeteer.browser import Browser

from whatsapp_contract.errors import BrowserGone, ContractError, Internal, PageCrashed, PageTimeout, ResetUnproven
from whatsapp_contract.logs import get_logger

from . import needs
from .answers import checked, problems
from .bridge import document_script
from .cdp import CdpSession, connection_of, first_tab
from .chromium import Chromium
from .console import ConsoleTail
from .document import ServedDocument
from .given_storage import GivenStorage
from .hearing import Hearing
from .link import Link
from .models import (
    DocumentStarted,
    LocalStorageGiven,
    LoggedOut,
    MessageSeen,
    PageEvent,
    PageWid,
    ProbedBuild,
    StreamChanged,
    StreamSnapshot,
    Trouble,
    page_event,
)
from .net_errors import SiteUnreachable
from .service_worker import ServiceWorkerBypass

log = get_logger(__name__)

BINDING = "waAgentTell"
OPEN_WITHIN_S = 15.0  # each answer of a browser that has just come up: small machines read it from a slow disk first
ANSWER_WITHIN_S = 2.0
SITE_WITHIN_S = 6.0  # the page itself gives up a second earlier
BROWSER_ANSWER_WITHIN_S = 1.0
NAVIGATE_WITHIN_S = 20.0
RESET_WITHIN_S = 12.0
LOGOUT_WITHIN_S = 15.0
# With what chromium.py takes to end it, all of it has to fit into three seconds, also where Chromium is frozen.
CLOSE_WITHIN_S = 0.7
EXIT_WITHIN_S = 0.8

_PAGE_CODE = re.compile(r"[A-Za-z_]{1,64}")  # else it may hold anything
_ELSEWHERE = "the tab shows something else than WhatsApp Web"

ReloadStep = Literal["terminate", "reload", "crash", "kill_renderer"]


class PageScriptFailed(Internal):
    """The page's function threw. `code` is wa-js' own, or the error's name."""

    def __init__(self, function: str, code: str) -> None:
        said = code if _PAGE_CODE.fullmatch(code) else "an error of its own"
        super().__init__(f"{function} failed in the page: {said}")
        self.page_code = code


class WhatsAppPage:
    """The one tab. Events of the page go to `on_event`, in order, on the event loop."""

    def __init__(self, browser: Browser, session: CdpSession, chromium: Chromium, url: str) -> None:
        self.link = Link(connection_of(browser), session)
        self.console = ConsoleTail(session)
        self._bypass = ServiceWorkerBypass(session)
        self.document = ServedDocument(session, url, self._bypass)
        self.given_storage = GivenStorage(session, BINDING)
        self.hearing = Hearing()
        self.snapshot = StreamSnapshot(injected=False)
        self.answered_at: float | None = None  # loop time at which the page last answered, or told something
        self.answer_took_ms: float | None = None
        self.crashed = asyncio.Event()
        self.unloaded = asyncio.Event()  # Chromium's error page is on show, until somebody loads the site again
        self.browser_lost = connection_of(browser).closed
        self.on_event: Callable[[PageEvent], None] = lambda _event: None
        # There are messages that were not told, or could not be read.
        self.on_missed: Callable[[], None] = lambda: None
        self.browser = browser
        self._session = session
        self._chromium = chromium
        self._url = url
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()  # something was told; whoever waits looks again
        self._documents = 0  # how many documents have started in the tab
        self._left_connected = 0  # how often the socket's state was seen to be something else than CONNECTED
        session.on_binding = self._on_binding
        session.on("Inspector.targetCrashed", lambda _params: self.crashed.set())
        session.on("Page.javascriptDialogOpening", self._on_dialog)

    @classmethod
    async def open(
        cls,
        browser: Browser,
        chromium: Chromium,
        url: str,
        wa_js: Path,
        local_storage: str | None = None,
    ) -> "WhatsAppPage":
        """The browser's first tab, with wa-js and the bridge in every document it will load. Not navigated yet.

        `local_storage` is the JSON of what `local_storage()` answered once: the first document of that origin
        starts with it, and `given_storage.on_given` is called.
        """
        session = await first_tab(browser, within_s=OPEN_WITHIN_S)
        page = cls(browser, session, chromium, url)
        try:
            script = await asyncio.to_thread(document_script, wa_js)
        except OSError as error:
            raise BrowserGone(f"what the page needs cannot be read: {error}") from error
        if local_storage is not None:
            # First: new documents run their scripts in the order in which they were added.
            await page.given_storage.give(local_storage, within_s=OPEN_WITHIN_S)
        # At once: a browser that is just starting takes its time for each answer.
        await asyncio.gather(
            session.call("Runtime.addBinding", {"name": BINDING}, within_s=OPEN_WITHIN_S),
            session.call("Page.addScriptToEvaluateOnNewDocument", {"source": script}, within_s=OPEN_WITHIN_S),
            page.link.listen(within_s=OPEN_WITHIN_S),
            page.document.attach(within_s=OPEN_WITHIN_S),
        )
        return page

    @property
    def browser_answered_at(self) -> float | None:
        """Loop time of the last message of any kind from Chromium."""
        return connection_of(self.browser).last_message_at

    async def navigate(self) -> None:
        """Load WhatsApp Web. Raises SiteUnreachable with Chromium's reason, and PageTimeout."""
        await self.document.apply()
        before = self._documents
        await self._go(NAVIGATE_WITHIN_S)
        await self._wait_until(lambda: self._documents > before, NAVIGATE_WITHIN_S, PageTimeout("no document came"))

    async def probe(self) -> StreamSnapshot:
        """Ask the page what it is in. Raises PageTimeout, PageCrashed, BrowserGone; NotReady between documents."""
        asked_at = self._loop.time()
        answer = await self._evaluate("globalThis.waAgent ? waAgent.snapshot() : null")
        if answer is None:
            raise PageTimeout(_ELSEWHERE)
        snapshot = checked(StreamSnapshot, answer)
        self.answered_at = self._loop.time()
        self.answer_took_ms = round((self.answered_at - asked_at) * 1000, 3)
        self._take(snapshot)
        if snapshot.messages is not None and self.hearing.take(snapshot.messages, asked_at):
            self.on_missed()
        return self.snapshot

    async def ask_browser(self) -> None:
        """Whether Chromium's own process answers. Raises BrowserGone when not."""
        await connection_of(self.browser).call("Browser.getVersion", within_s=BROWSER_ANSWER_WITHIN_S)

    async def account(self) -> PageWid:
        """The account's own address."""
        return checked(PageWid, await self._evaluate("waAgent.account()"))

    async def local_storage(self) -> dict[str, Any]:
        """`{"origin": str, "items": {str: str}}`. The strings may hold lone surrogates, which json.dumps escapes."""
        # As text: returned by value, such strings would arrive changed.
        answer = await self._evaluate("globalThis.waAgent ? JSON.stringify(waAgent.localStorage()) : null")
        if answer is None:
            raise PageTimeout(_ELSEWHERE)
        return cast(dict[str, Any], json.loads(answer))

    async def ask_server(self) -> bool:
        """Have the page ask its server something, and whether it could. Whether an answer came shows at the link."""
        return await self._evaluate("waAgent.askServer()") is True

    async def ask_site(self) -> bool | None:
        """Whether a request of the page reaches the site, and not its service worker's cache; None where the page may
        not ask, or is another."""
        async with self._bypass.held():
            answer = await self._evaluate("globalThis.waAgent ? waAgent.askSite() : null", SITE_WITHIN_S)
        return answer if isinstance(answer, bool) else None

    async def probe_build(self) -> ProbedBuild:
        """Which build this is, and what our calls need and it lacks. Meant for a page that has loaded all it loads."""
        return checked(ProbedBuild, await self.call("probeBuild", needs.modules()))

    async def served_revision(self) -> str | None:
        """The number of the build that the site serves at present, whatever is on show; None where it does not say."""
        async with self._bypass.held():
            answer = await self.call("servedRevision", SITE_WITHIN_S * 1000, within_s=SITE_WITHIN_S + 1.0)
        return answer if isinstance(answer, str) else None

    async def reset(self, within_s: float = RESET_WITHIN_S) -> None:
        """A new connection to the server, proven as is written above. Raises ResetUnproven without proof in time."""
        left_before = self._left_connected
        self.link.look_for_a_new_one()
        await self._evaluate("void waAgent.reconnect()")
        await self._wait_until(
            lambda: (
                self._left_connected > left_before
                and self.snapshot.socket == "CONNECTED"
                and self.snapshot.info == "NORMAL"
                and (self.link.new_was_heard or not self.link.is_visible)
            ),
            within_s,
            ResetUnproven(f"no new connection was seen within {within_s:g} s"),
        )

    async def take_over(self, within_s: float = RESET_WITHIN_S) -> None:
        """Take the session back from another client. Raises ResetUnproven without proof of a connection in time."""
        self.link.look_for_a_new_one()
        await self._evaluate("void waAgent.takeOver()")
        await self._wait_until(
            lambda: (
                (self.snapshot.socket, self.snapshot.mode, self.snapshot.info) == ("CONNECTED", "MAIN", "NORMAL")
                and (self.link.new_was_heard or not self.link.is_visible)
            ),
            within_s,
            ResetUnproven(f"the session was not taken over within {within_s:g} s"),
        )

    async def reload(self) -> list[ReloadStep]:
        """Load the page anew, whatever it is in; the gentlest step that works. Answers the steps it took.

        A busy loop ends by terminating it; a page that does not obey is crashed; one whose process does not even
        do that (it is stopped) has its process killed. Raises PageTimeout when nothing helps, SiteUnreachable where
        that is no fault of the page's.
        """
        steps: list[ReloadStep] = []
        if not self.crashed.is_set():
            with contextlib.suppress(ContractError):
                steps.append("terminate")
                await self._session.call("Runtime.terminateExecution", within_s=0.5)
        steps.append("reload")
        if await self._load_anew(within_s=5.0):
            return steps
        steps.append("crash")
        with contextlib.suppress(ContractError):
            await self._session.call("Page.crash", within_s=0.5)
        if await self._crash_seen(within_s=1.0) and await self._load_anew(within_s=8.0):
            return steps
        steps.append("kill_renderer")
        self._chromium.kill_renderers()
        await self._crash_seen(within_s=2.0)
        if await self._load_anew(within_s=10.0):
            return steps
        raise PageTimeout(f"the page did not come back after {', '.join(steps)}")

    async def logout(self) -> None:
        """Unlink this device. Raises PageTimeout when the page did not get there in time."""
        await self._evaluate("void waAgent.logout()")
        await self._wait_until(
            lambda: self.snapshot.injected and not self.snapshot.registered,
            LOGOUT_WITHIN_S,
            PageTimeout("the page did not log out"),
        )

    async def close(self) -> bool:
        """Close the tab, which writes its localStorage to the disk, and then the browser. Never raises.

        Answers whether both went as they should, so that the profile on the disk is complete.
        """
        closed = False
        with contextlib.suppress(ContractError):
            await self._session.call("Page.close", within_s=CLOSE_WITHIN_S)
            closed = True
        connection_of(self.browser).send("Browser.close")
        return await self._chromium.wait_gone(EXIT_WITHIN_S) and closed

    async def call(self, function: str, *args: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        """What `waAgent`'s function (bridge/*.js) answers, for JSON arguments.

        Raises PageScriptFailed with the code of what it threw, PageTimeout, PageCrashed, BrowserGone; NotReady between
        documents.
        """
        given = ", ".join(json.dumps(arg) for arg in (function, *args))
        answer = await self._evaluate(f"globalThis.waAgent ? waAgent.call({given}) : null", within_s)
        if answer is None:
            raise PageTimeout(_ELSEWHERE)
        if "error" in answer:
            raise PageScriptFailed(function, answer["error"] or "unknown")
        return answer["value"]

    @property
    def session(self) -> CdpSession:
        """The tab's DevTools session."""
        return self._session

    # -- details -----------------------------------------------------------------------------------------------------

    async def _evaluate(self, expression: str, within_s: float = ANSWER_WITHIN_S) -> Any:
        """The value of an expression in the page, in one round trip."""
        answer = await self._session.call(
            "Runtime.evaluate",
            {"expression": expression, "returnByValue": True, "awaitPromise": True},
            within_s=within_s,
        )
        if "exceptionDetails" in answer:
            # Its words may be a message's.
            kind = answer["exceptionDetails"].get("exception", {}).get("className", "")
            raise Internal(f"the page's script failed: {kind if _PAGE_CODE.fullmatch(kind) else '?'}")
        return answer["result"].get("value")

    async def _load_anew(self, within_s: float) -> bool:
        """Whether a new document came and answers."""
        before = self._documents
        self.crashed.clear()
        with contextlib.suppress(ContractError, TimeoutError):
            async with asyncio.timeout(within_s):
                await self.document.apply()
                await self._go(within_s)
                await self._wait_until(lambda: self._documents > before, within_s, PageTimeout("no document"))
                await self.probe()
                return True
        if self.unloaded.is_set():
            raise SiteUnreachable("the site cannot be loaded")
        return False

    async def _go(self, within_s: float) -> None:
        self.unloaded.clear()
        answer = await self._session.call("Page.navigate", {"url": self._url}, within_s=within_s)
        if answer.get("errorText"):
            self.unloaded.set()
            raise SiteUnreachable(f"the site cannot be loaded: {answer['errorText']}")

    async def _crash_seen(self, within_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await self.crashed.wait()
        return False

    async def _wait_until(self, condition: Callable[[], bool], within_s: float, otherwise: ContractError) -> None:
        """Looks again at whatever the page tells, and asks it every now and then in case it does not tell."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():
                    if self.crashed.is_set():
                        raise PageCrashed("the page crashed meanwhile")
                    if self.browser_lost.is_set():
                        raise BrowserGone("the browser was lost meanwhile")
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.25):
                            await self._changed.wait()
                            continue
                    with contextlib.suppress(ContractError):
                        await self.probe()
                return
        raise otherwise

    def _take(self, snapshot: StreamSnapshot) -> None:
        if snapshot.injected and snapshot.socket != "CONNECTED":
            self._left_connected += 1
        self.snapshot = snapshot

    def _on_binding(self, name: str, payload: str) -> None:
        if name != BINDING:
            return
        try:
            event = page_event.validate_json(payload)
        except ValidationError as error:
            found = problems(error)
            log.error("the page told something malformed", problems=found)
            if self.hearing.on_malformed(found, self._loop.time()):
                self.on_missed()
            return
        self.answered_at = self._loop.time()
        if isinstance(event, LocalStorageGiven):
            self.given_storage.on_told()
            return
        if isinstance(event, Trouble):
            log.error("the page's script failed", where=event.where, error=event.error)
            if self.hearing.on_trouble(event.where, self.answered_at):
                self.on_missed()
            return
        if isinstance(event, DocumentStarted):
            self._documents += 1
            self.crashed.clear()
            self.hearing.on_document()
            self._take(StreamSnapshot(injected=False))
        elif isinstance(event, StreamChanged):
            self._take(event.stream)
        elif isinstance(event, LoggedOut):
            self._take(self.snapshot.model_copy(update={"authenticated": False}))
        self.on_event(event)
        if isinstance(event, MessageSeen) and event.message.target_key is None:
            self.hearing.on_told(self.answered_at)  # only now: one that could not be taken in was not
        self._changed.set()

    def _on_dialog(self, _params: Any) -> None:
        """A page that asks "leave?" would never be left."""
        self._session.send("Page.handleJavaScriptDialog", {"accept": True})
