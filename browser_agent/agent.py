"""BrowserAgent: opens its resources, runs its tasks, moves the state. Start reading here."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import redis.asyncio
from pydantic import BaseModel

from whatsapp_contract import event_script, qr
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.errors import BrowserGone, Busy, ContractError, PageTimeout
from whatsapp_contract.events import (
    AlertData,
    AuthenticatedData,
    AuthFailureData,
    DisconnectedData,
    EventType,
    QrData,
    QrOnShow,
    ReadyData,
    RestartedData,
    StateChangedData,
)
from whatsapp_contract.health import SITE_UNREACHABLE, Assessment, Facts, Limits, verdict
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import connect_async, is_outage
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState, check_move
from whatsapp_contract.status import HEARTBEAT_S, Status

from . import handlers
from .account_marker import AccountMarker
from .backoff import Backoff
from .browser_keeper import BrowserKeeper, BrowserSettings, Observer
from .command_bus import CommandBus
from .event_log import EventLog, Fenced
from .evidence import Evidence
from .inbox import Inbox, person
from .start_budget import StartBudget
from .status_board import StatusBoard
from .stream_state import next_state
from .whatsapp.models import (
    DocumentStarted,
    LoggedOut,
    MessageSeen,
    PageEvent,
    QrIdle,
    QrShown,
    StreamChanged,
    StreamSnapshot,
)

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

# How long a code can be scanned: WhatsApp Web shows the first of a page for about 60 s, each further one for 20 s.
FIRST_QR_S, NEXT_QR_S = 60.0, 20.0

FLUSH_WITHIN_S = 1.0
_BEFORE_A_SCAN = frozenset({SessionState.STARTING, SessionState.AWAITING_SCAN, SessionState.LOGGED_OUT})
_LOST_THE_ACCOUNT = frozenset({SessionState.LOGGED_OUT, SessionState.CONFLICT, SessionState.BLOCKED})


class BrowserAgent(Observer):
    """The process that owns the page. `run` returns after `stop`, or raises what is a bug."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.epoch = 0
        self.state = SessionState.STARTING
        self.operation: str | None = None
        self._reason: str | None = None
        self._since = asyncio.get_running_loop().time()
        self._started_at = datetime.now(UTC)
        self._stopping = asyncio.Event()
        self._marker = AccountMarker(settings.session_dir / "account")
        self._was_ready = False  # in this life of the agent
        self._told_authenticated = False  # in this life of the browser
        self._scan_was_needed = False
        self._qr_sequence = 0
        self._qr_of_this_page = 0
        self._limits = Limits()
        self._side_tasks: set[asyncio.Task[None]] = set()
        self.keeper: BrowserKeeper
        self.evidence: Evidence
        self.event_log: EventLog
        self._board: StatusBoard
        self._bus: CommandBus
        self._inbox: Inbox

    # -- the main flow -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the session until `stop`."""
        async with self._resources() as redis_client:
            epoch = await self._unless_stopped(self._take_epoch(redis_client))
            if epoch is None:
                return
            self.epoch = epoch
            self._assemble(redis_client)
            await self._tell_restart(redis_client)
            try:
                await self._serve_until_stopped()
            except* Fenced:
                await self._stand_aside()

    def stop(self) -> None:
        """Close the page, wait for the browser to be gone, and let `run` return."""
        self._stopping.set()

    @contextlib.asynccontextmanager
    async def _resources(self) -> AsyncIterator["redis.asyncio.Redis"]:
        client = connect_async(self.settings.redis_url.get_secret_value())
        raw = connect_async(self.settings.redis_url.get_secret_value(), decode_responses=False)
        self._bus = CommandBus(raw, self.settings.names, self._carry_out)
        try:
            yield client
        finally:
            await raw.aclose()
            await client.aclose()

    def _assemble(self, client: "redis.asyncio.Redis") -> None:
        settings = self.settings
        budget = StartBudget(client, settings.instance_names, settings.start_budget, settings.start_budget_window_s)
        browser = BrowserSettings(
            executable=settings.browser_executable,
            sandbox=settings.chromium_sandbox == "on",
            profile=settings.session_dir / "profile",
            url=settings.whatsapp_web_url,
            wa_js=settings.wa_js_path,
        )
        self.keeper = BrowserKeeper(browser, budget, self)
        self.keeper.is_busy = lambda: self.operation is not None
        self.evidence = Evidence(self.keeper, settings.link_silence_s)
        self.event_log = EventLog(client, settings.names, self.epoch, settings.events_maxlen)
        self._inbox = Inbox(self.event_log)
        self._board = StatusBoard(client, settings.names, self.epoch, self.status)

    async def _serve_until_stopped(self) -> None:
        log.info("agent started", epoch=self.epoch, session=self.settings.session_id)
        async with asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(self._bus.serve())]
            keeping = tasks.create_task(self.keeper.run())
            telling = [
                tasks.create_task(self.event_log.run()),
                tasks.create_task(self._board.run()),
                tasks.create_task(self._look_at_the_page()),
                tasks.create_task(self.evidence.watch_link(self._is_ready, self._look_again)),
            ]
            await self._stopping.wait()
            log.info("agent is stopping")
            self.enter(SessionState.STOPPING, "stopping")
            for task in serving:
                task.cancel()
            keeping.cancel()
            await asyncio.wait([keeping])
            await self.event_log.flushed(FLUSH_WITHIN_S)
            with contextlib.suppress(Fenced):
                await self._board.write()
            for task in (*telling, *self._side_tasks):
                task.cancel()
        log.info("agent stopped")

    async def _stand_aside(self) -> None:
        """Another agent took the session over. Coming back would take it from there again, and so on for ever."""
        log.error("another agent holds this session now; this one has closed its browser and waits to be stopped")
        await self._stopping.wait()

    async def _take_epoch(self, client: "redis.asyncio.Redis") -> int:
        """The fencing token, taken before there is a browser. Waits for Redis as long as it takes."""
        backoff = Backoff(0.1, 5.0)
        away = False
        while True:
            try:
                names = self.settings.names
                taken: Any = await client.eval(event_script.TAKE_EPOCH_LUA, 1, names.fence, "1")
                return int(taken)
            except Exception as error:
                if not is_outage(error):
                    raise
                if not away:
                    log.warning("waiting for Redis", error=str(error))
                away = True
                await asyncio.sleep(backoff.next_s())

    async def _tell_restart(self, client: "redis.asyncio.Redis") -> None:
        """Tell of the agent's restart, with the cause that whoever ended the former agent has left."""
        if self.epoch == 1:
            return
        left: Any = None
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            left = await client.getdel(self.settings.instance_names.restart_cause)
        self.event_log.publish(EventType.RESTARTED, RestartedData(what="agent", cause=left or "unknown"))

    async def _unless_stopped(self, work: Awaitable[int]) -> int | None:
        task = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            return task.result()
        task.cancel()
        return None

    async def _look_at_the_page(self) -> None:
        """Ask the page every now and then by ourselves, so that facts stay fresh whoever else asks or does not."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(ContractError):
                await self.probe()

    # -- commands ----------------------------------------------------------------------------------------------------

    async def _carry_out(self, spec: CommandSpec, args: Any) -> BaseModel:
        handler = handlers.HANDLERS[spec.name]
        if not spec.mutating:
            return await handler(self, args)
        async with self.exclusive(spec.name):
            return await handler(self, args)

    @contextlib.asynccontextmanager
    async def exclusive(self, operation: str) -> AsyncIterator[None]:
        """One operation at a time. Raises Busy."""
        if self.operation is not None:
            raise Busy(f"{self.operation} is under way")
        self.operation = operation
        self._board.poke()
        try:
            yield
        finally:
            self.operation = None
            self._board.poke()

    def page(self) -> "WhatsAppPage":
        """Raises BrowserGone while there is none."""
        if self.keeper.page is None:
            raise BrowserGone("there is no browser")
        return self.keeper.page

    async def probe(self) -> None:
        """Ask the page; where it does not answer, ask the browser, so that it is known which of them is silent.

        Raises PageTimeout, PageCrashed, BrowserGone or NotReady.
        """
        page = self.page()
        try:
            snapshot = await page.probe()
        except PageTimeout:
            await page.ask_browser()
            raise
        self._on_stream(snapshot)

    def facts(self) -> Facts:
        """What is known now."""
        return self.evidence.facts(self.state, self._since, self._reason, self.keeper.held_until)

    def assess(self, facts: Facts) -> Assessment:
        """The verdict over facts just gathered."""
        return verdict(facts, self._limits, facts.observed_at)

    def status(self) -> Status:
        """All of it, for the status hash."""
        facts = self.facts()
        assessment = self.assess(facts)
        page, chromium = self.keeper.page, self.keeper.chromium
        return Status(
            **facts.model_dump(exclude={"observed_at"}),
            session_id=self.settings.session_id,
            instance=self.settings.instance_id,
            pid=os.getpid(),
            epoch=self.epoch,
            started_at=self._started_at,
            heartbeat_at=facts.observed_at,
            verdict=assessment.verdict,
            verdict_reason=assessment.reason,
            operation=self.operation,
            browser_pid=chromium.pid if chromium else None,
            refused_commands=self._bus.refused,
            dropped_events=self.event_log.dropped,
            service_version=version("whatsapp-container"),
            browser_version=chromium.version if chromium else None,
            wa_js_version=page.snapshot.wa_js if page else None,
            whatsapp_web_version=page.snapshot.version if page else None,
        )

    # -- the state ---------------------------------------------------------------------------------------------------

    def enter(self, state: SessionState, reason: str | None = None) -> None:
        """The one place where the state changes. Raises IllegalMove for a move that is not in the table."""
        if state is self.state:
            if reason != self._reason:
                self._reason = reason
                self._board.poke()
            return
        previous = self.state
        check_move(previous, state)
        self.state, self._reason, self._since = state, reason, asyncio.get_running_loop().time()
        log.info("state changed", previous=previous.value, state=state.value, reason=reason)
        self.event_log.publish(
            EventType.STATE_CHANGED, StateChangedData(previous=previous, state=state, reason=reason)
        )
        if previous is SessionState.AWAITING_SCAN:
            self._board.show_qr(None)
        if previous is SessionState.READY or state in _LOST_THE_ACCOUNT:
            self.event_log.publish(EventType.DISCONNECTED, DisconnectedData(reason=reason or state.value, state=state))
        if state is SessionState.LOGGED_OUT:
            self._on_account_lost()
        elif state is SessionState.READY:
            self._on_ready()
        self._board.poke()

    def _is_ready(self) -> bool:
        return self.state is SessionState.READY

    def _look_again(self) -> None:
        """The link fell silent, or is heard again: the page's own view did not change."""
        if self.keeper.page is not None:
            self._on_stream(self.keeper.page.snapshot)

    def _on_stream(self, stream: StreamSnapshot) -> None:
        state, reason = next_state(stream, self.state)
        if state is SessionState.READY and self.evidence.link_is_dead():
            state, reason = SessionState.DISCONNECTED, "link_silent"  # whatever the page believes
        if self.state is SessionState.STOPPING or (state is self.state and reason is None):
            return
        if state is SessionState.DISCONNECTED and self.operation is not None:
            reason = self.operation
        if stream.authenticated and not self._told_authenticated:
            self._told_authenticated = True
            self.event_log.publish(EventType.AUTHENTICATED, AuthenticatedData(restored=not self._scan_was_needed))
        self.enter(state, reason)

    def _on_ready(self) -> None:
        self._was_ready = True
        self._marker.set()
        self._aside(self._tell_ready())

    async def _tell_ready(self) -> None:
        account = None
        with contextlib.suppress(ContractError):
            account = person(await self.page().account())
        self.event_log.publish(EventType.READY, ReadyData(account=account))

    def _on_account_lost(self) -> None:
        """Logged out. A kept profile that was not even ready once in this life is an account lost while away."""
        if self._marker.is_set and not self._was_ready:
            self.event_log.publish(EventType.AUTH_FAILURE, AuthFailureData(reason="the kept profile is unpaired"))
        self._marker.clear()
        self._was_ready = self._told_authenticated = False

    # -- what the page tells -----------------------------------------------------------------------------------------

    def _on_page_event(self, event: PageEvent) -> None:
        match event:
            case MessageSeen():
                self._inbox.take(event.message)
            case StreamChanged():
                self._on_stream(event.stream)
            case QrShown():
                self._on_qr(event.payload)
            case QrIdle():
                self._aside(self._refresh_qr())
            case LoggedOut():
                self._on_logged_out()
            case DocumentStarted():
                self._on_document()

    def _on_document(self) -> None:
        self._qr_of_this_page = 0
        if self.state not in (SessionState.STARTING, SessionState.LOGGED_OUT, SessionState.STOPPING):
            self.enter(SessionState.STARTING, self.operation or "page_reloaded")
        elif self.state is SessionState.STARTING and self._reason == SITE_UNREACHABLE:
            self.enter(SessionState.STARTING, None)

    def _on_logged_out(self) -> None:
        if self.state not in (*_BEFORE_A_SCAN, SessionState.STOPPING):
            self.enter(SessionState.LOGGED_OUT, "logged_out")

    def _on_qr(self, payload: str) -> None:
        if self.state not in _BEFORE_A_SCAN:
            return
        if self.state is SessionState.STARTING:
            self._on_account_lost()
        valid_s = NEXT_QR_S if self._qr_of_this_page else FIRST_QR_S
        self._scan_was_needed = True
        self._qr_sequence += 1
        self._qr_of_this_page += 1
        expires_at = datetime.now(UTC) + timedelta(seconds=valid_s)
        data = QrData(payload=payload, sequence=self._qr_sequence, expires_at=expires_at)
        self.event_log.publish(EventType.QR, data)
        self.enter(SessionState.AWAITING_SCAN)
        self._board.show_qr(QrOnShow(**data.model_dump()))
        if self.settings.qr_console == "on":
            self._aside(self._print_qr(payload, valid_s))

    async def _print_qr(self, payload: str, valid_s: float) -> None:
        """On the console, the one place where a code may be read by whoever reads the logs."""
        text = await asyncio.to_thread(qr.as_text, payload)
        sys.stdout.write(f"\nScan with WhatsApp > Linked devices, within {valid_s:.0f} s:\n{text}\n")
        sys.stdout.flush()

    async def _refresh_qr(self) -> None:
        with contextlib.suppress(ContractError):
            await self.page().refresh_qr()

    # -- what the keeper tells (Observer) ----------------------------------------------------------------------------

    def on_starting(self, reason: str) -> None:
        self.enter(SessionState.STARTING, reason)

    def on_page(self, page: "WhatsAppPage") -> None:
        page.on_event = self._on_page_event
        self._told_authenticated = self._scan_was_needed = False

    def on_started(self, cause: str | None, starts: int) -> None:
        if cause is not None:
            data = RestartedData(what="browser", cause=cause, starts=starts)
            self.event_log.publish(EventType.RESTARTED, data)
        self._board.poke()

    def on_held(self, until: float) -> None:
        message = (
            f"The browser was started {self.settings.start_budget} times within "
            f"{self.settings.start_budget_window_s:g} s and is left alone for {until - time.time():.0f} s. "
            "Look at the log for the cause; restart_browser starts it at once."
        )
        log.error("the start budget is spent", held_for_s=round(until - time.time()))
        self.event_log.publish(EventType.ALERT, AlertData(code="start_budget_spent", message=message))
        self._board.poke()

    def on_failure(self, reason: str, error: str) -> None:
        log.error("the browser was lost or could not be started", reason=reason, error=error)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """A short task beside the main ones; cancelled with them."""
        task = asyncio.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)
