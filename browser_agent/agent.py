"""BrowserAgent: opens its resources, runs its tasks, carries out commands. Start reading here; the state moves in
session_flow.py."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
from pydantic import BaseModel

from whatsapp_contract.arguments import RungArgs
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.errors import BrowserGone, Busy, ContractError, PageTimeout
from whatsapp_contract.events import (
    AlertData,
    EventType,
    RestartedData,
)
from whatsapp_contract.health import OUTRUN, SITE_UNREACHABLE, Assessment, Facts, Limits, verdict
from whatsapp_contract.incidents import RestartCause
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import HEARTBEAT_S

from . import handlers
from .account_marker import AccountMarker
from .browser_keeper import BrowserKeeper, BrowserSettings, Observer
from .build_memory import BuildMemory
from .builds import Builds
from .command_bus import CommandBus
from .deadlines import Deadlines
from .event_log import EventLog
from .evidence import Evidence
from .fence import Fence, Fenced
from .follow import Follow
from .gap_audit import GapAudit
from .inbox import Inbox
from .media.files import Files
from .media.keeper import MediaKeeper
from .media.ledger import Ledger
from .media.process import MediaProcess
from .memory_relief import watch_memory
from .memory_watch import MemoryWatch
from .qr_show import QrShow
from .sending.sends import Sends
from .session_flow import SessionFlow
from .session_keeper import SessionKeeper
from .site_reach import reaches
from .site_watch import SiteWatch
from .start_budget import StartBudget
from .status_board import StatusBoard
from .status_report import status_of
from .stream_trimmer import StreamTrimmer
from .stuck import remedy
from .watermarks import Watermarks
from .whatsapp.kept_builds import KeptBuilds
from .whatsapp.models import AcksSeen, PageEvent

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

STOP_WITHIN_S = 4.8  # everything; the container is killed ten seconds after it was asked to stop
FLUSH_WITHIN_S = 0.8
STOP_REMEMBERED_S = 30 * 86_400
ASIDE_KEPT_S = 60

# In these the link is down, or not up yet: the page is asked whether it reaches its site at all.
_ASKS_SITE = frozenset({SessionState.STARTING, SessionState.SYNCING, SessionState.DISCONNECTED})


class BrowserAgent(Observer):
    """The process that owns the page. `run` returns after `stop`, or raises what is a bug."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.operation: str | None = None
        self.incident: str | None = None  # in which the browser is now to be restarted
        self.started_at = datetime.now(UTC)
        self._stopping = asyncio.Event()
        self._unstuck_at: float | None = None  # loop time
        self._limits = Limits()
        self._tasks: asyncio.TaskGroup
        self._side_tasks: set[asyncio.Task[None]] = set()
        self.keeper: BrowserKeeper
        self.session: SessionKeeper
        self._fence: Fence
        self.evidence: Evidence
        self.memory: MemoryWatch
        self.event_log: EventLog
        self._trimmer: StreamTrimmer
        self.follow: Follow
        self.audit: GapAudit
        self.media: MediaKeeper
        self._watermarks: Watermarks
        self._board: StatusBoard
        self._budget: StartBudget
        self._deadlines: Deadlines
        self._qr: QrShow
        self._bus: CommandBus
        self.flow: SessionFlow
        self.sends: Sends
        self.builds: Builds

    @property
    def epoch(self) -> int:
        """The fencing token of this life."""
        return self._fence.epoch

    @property
    def state(self) -> SessionState:
        """What the session is in."""
        return self.flow.state

    # -- the main flow -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the session until `stop`."""
        async with self._resources() as redis_client:
            fence = Fence(redis_client, self.settings.names)
            if not await self._unless_stopped(fence.take()):
                return
            self._assemble(redis_client, fence)
            await self._tell_restart(redis_client)
            try:
                await self._serve_until_stopped(redis_client)
            except* Fenced:
                await self._stand_aside(redis_client)

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

    def _assemble(self, client: "redis.asyncio.Redis", fence: Fence) -> None:
        settings = self.settings
        self._fence = fence
        self._budget = StartBudget(
            client, settings.instance_names, settings.start_budget, settings.start_budget_window_s
        )
        browser = BrowserSettings(
            executable=settings.browser_executable,
            sandbox=settings.chromium_sandbox == "on",
            profile=settings.session_dir / "profile",
            url=settings.whatsapp_web_url,
            wa_js=settings.wa_js_path,
        )
        self.keeper = BrowserKeeper(browser, self._budget, self)
        self.keeper.is_busy = lambda: self.operation is not None
        self.event_log = EventLog(client, settings.names, fence)
        self._trimmer = StreamTrimmer(client, settings.names, fence, self.event_log, settings.events_maxlen)
        marker = AccountMarker(settings.session_dir / "account")
        self.session = SessionKeeper(
            settings, fence, self.event_log, self.keeper, self._aside, self.on_starting, marker.set
        )
        self.follow = Follow(client, settings.names, settings.follow_chats, settings.session_dir / "follow.json")
        self._watermarks = Watermarks(client, settings.names, settings.session_dir / "watermarks.json")
        self.session.watermarks, self.session.follow = self._watermarks, self.follow
        self.media = MediaKeeper(
            Ledger(client, settings.names),
            self.event_log,
            Files(settings.session_dir / "media"),
            MediaProcess(),
            settings.session_id,
            settings.media_max_bytes,
            page=self.page,
            is_ready=lambda: self.flow.is_ready(),  # noqa: PLW0108  # there is none yet
        )
        self.memory = watch_memory(self, client)
        inbox = Inbox(self.event_log, self.follow, self._watermarks, ledger=self.media.entering)
        site = SiteWatch(
            lambda: self.keeper.page,
            is_wanted=lambda: self.state in _ASKS_SITE,
            cannot_load=lambda: self.flow.reason == SITE_UNREACHABLE,
            reaches=lambda: reaches(settings.whatsapp_web_url),
        )
        self.evidence = Evidence(self.keeper, self.memory, site, settings.link_silence_s)
        inbox.on_told = self.evidence.on_message_event
        self.audit = GapAudit(
            client,
            settings.names,
            self.event_log,
            inbox,
            self.follow,
            self._watermarks,
            settings.backfill_on_first_login_days,
            page=self.page,
            is_ready=lambda: self.flow.is_ready(),  # noqa: PLW0108  # there is none yet
        )
        self.event_log.on_dropped = self.audit.missed
        self.event_log.on_back = self.audit.want
        self._board = StatusBoard(client, settings.names, fence, lambda: status_of(self))
        self._qr = QrShow(self.event_log, self._board, self._aside, on_console=settings.qr_console == "on")
        self.flow = SessionFlow(
            self.event_log,
            self.evidence,
            inbox,
            self.audit,
            self._qr,
            self.session,
            marker,
            page=self.page,
            operation=lambda: self.operation,
            aside=self._aside,
            changed=self._on_changed,
        )
        self.sends = Sends(
            client,
            settings,
            self.event_log,
            fence,
            page=self.page,
            is_ready=self.flow.is_ready,
            aside=self._aside,
        )
        self.session.standing = self.sends.standing
        self.builds = Builds(
            BuildMemory(client, settings.names, self.event_log.write),
            KeptBuilds(settings.wa_version_path),
            self.event_log,
            pin=settings.whatsapp_web_version,
            with_fallback=settings.whatsapp_web_fallback == "on",
            page=lambda: self.keeper.page,
            facts=self.facts,
            reload=self._reload_for,
        )
        self._deadlines = Deadlines(
            self._limits,
            self.facts,
            self._keep_dossier,
            alert=lambda data: self.event_log.publish(EventType.ALERT, data),
        )

    async def _serve_until_stopped(self, redis_client: "redis.asyncio.Redis") -> None:
        loop = asyncio.get_running_loop()
        log.info("agent started", epoch=self.epoch, session=self.settings.session_id)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            serving = [tasks.create_task(self._bus.serve())]
            keeping = tasks.create_task(self.keeper.run())
            saving = tasks.create_task(self.session.run())
            telling = [
                tasks.create_task(self.event_log.run()),
                tasks.create_task(self._trimmer.run()),
                tasks.create_task(self.audit.run()),
                tasks.create_task(self.media.run()),
                tasks.create_task(self._board.run()),
                tasks.create_task(self._look_at_the_page()),
                tasks.create_task(self.memory.run()),
                tasks.create_task(self._close_when_outrun(keeping)),
                tasks.create_task(self._deadlines.run()),
                tasks.create_task(self.builds.run()),
                tasks.create_task(self.evidence.run(self.flow.is_ready, self._look_again)),
            ]
            await self._stopping.wait()
            log.info("agent is stopping")
            deadline = loop.time() + STOP_WITHIN_S
            self.flow.enter(SessionState.STOPPING, "stopping")
            for task in (*serving, saving, keeping):
                task.cancel()
            await asyncio.wait([saving, keeping], timeout=STOP_WITHIN_S - 1)
            await self.sends.close()
            self.session.on_closed()
            await self.session.save_if_known_good("stop", deadline - FLUSH_WITHIN_S - loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self.event_log.flushed(FLUSH_WITHIN_S)
                    await self._board.write()
                    await self._leave_word(redis_client)
            await _end([*serving, *telling, *self._side_tasks])
        log.info("agent stopped")

    async def _stand_aside(self, client: "redis.asyncio.Redis") -> None:
        """Another agent took the session over. Coming back would take it from there again, and so on for ever. The
        status is that agent's now, so that this one's signs of life have a key of their own."""
        log.error("another agent holds this session now; this one has closed its browser and waits to be stopped")
        settings = self.settings
        while not self._stopping.is_set():
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                holder: Any = await client.hget(settings.names.status, "instance")
                await client.set(settings.instance_names.aside, holder or "unknown", ex=ASIDE_KEPT_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._stopping.wait()

    async def _close_when_outrun(self, keeping: asyncio.Task[None]) -> None:
        """The store knows of a newer agent that this Redis does not. It has the session; a person must say who is to
        keep it. Until then this one has no browser, and says so: a watchdog that started it anew would take over."""
        await self.session.outrun.wait()
        keeping.cancel()
        await asyncio.wait([keeping])
        self.event_log.publish(
            EventType.ALERT,
            AlertData(
                code=OUTRUN,
                message="Another agent has claimed this session in its store; this one has closed its browser. "
                "Stop one of the two containers; whichever is started last holds the session.",
            ),
        )
        if self.state is not SessionState.STOPPING:
            self.flow.enter(SessionState.STARTING, OUTRUN)

    async def _tell_restart(self, client: "redis.asyncio.Redis") -> None:
        """Tell of the agent's restart, with the cause that whoever ended the former agent has left."""
        if self.epoch == 1:
            return
        left: Any = None
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            left = await client.getdel(self.settings.instance_names.restart_cause)
        found = RestartCause.read(left)
        self.event_log.publish(
            EventType.RESTARTED, RestartedData(what="agent", cause=found.cause, incident=found.incident)
        )

    async def _leave_word(self, client: "redis.asyncio.Redis") -> None:
        """For the next agent: this one was stopped, and nothing was wrong; unless whoever stopped it said why."""
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            word = RestartCause(cause="stop").model_dump_json()
            await client.set(self.settings.instance_names.restart_cause, word, nx=True, ex=STOP_REMEMBERED_S)
            if self.keeper.closed_properly:
                await self._budget.forgive()

    async def _unless_stopped(self, work: Awaitable[None]) -> bool:
        """Whether the work was done before `stop`."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        return False

    async def _look_at_the_page(self) -> None:
        """Ask the page every now and then by ourselves, so that facts stay fresh whoever else asks or does not."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(ContractError):
                await self.probe()
            with contextlib.suppress(ContractError):
                await self._unstick()

    async def _unstick(self) -> None:
        """What waits for a person has nobody else who would notice that its page is stuck."""
        now = asyncio.get_running_loop().time()

        def since(moment: float | None) -> float | None:
            return None if moment is None else now - moment

        in_state_s = now - self.flow.since - self.evidence.lag.lost_s(self.flow.since)
        found = remedy(self.state, in_state_s, self._qr.expired_for_s, since(self._unstuck_at))
        if found == "refresh_qr":
            await self.flow.refresh_qr()
        elif found == "reload":
            log.warning("the page is stuck and is loaded anew", state=self.state.value)
            self._unstuck_at = now
            await self._reload_for(f"stuck_in_{self.state.value}")

    async def _reload_for(self, cause: str) -> None:
        """Raises Busy, and what a reload raises."""
        async with self.exclusive("reload"):
            await handlers.reload(self, RungArgs(cause=cause))

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
        self.flow.on_stream(snapshot)

    def facts(self) -> Facts:
        """What is known now."""
        flow = self.flow
        facts = self.evidence.facts(
            flow.state, flow.since, flow.reason, self.keeper.held_until, coming_up_since=flow.coming_up_since
        )
        return facts.model_copy(update={"broken_calls": self.builds.broken_calls})

    def assess(self, facts: Facts) -> Assessment:
        """The verdict over facts just gathered."""
        return verdict(facts, self._limits, facts.observed_at)

    async def _keep_dossier(self, code: str, stuck_fact: str) -> Path | None:
        from .dossier import keep

        return await keep(self.keeper.page, status_of(self), code, stuck_fact, self.settings.session_dir)

    @property
    def refused_commands(self) -> int:
        """Payloads that were no command and had no sender to tell."""
        return self._bus.refused

    def _look_again(self) -> None:
        """The link fell silent, or is heard again: the page's own view did not change."""
        if self.keeper.page is not None:
            self.flow.on_stream(self.keeper.page.snapshot)

    # -- what the keeper tells, and asks (Observer) ------------------------------------------------------------------

    async def prepare(self, executable_version: str) -> None:
        await self.session.prepare(executable_version)
        await self.follow.load()
        await self._watermarks.load()
        await self.sends.standing.load()
        await self.builds.prepare()
        if self.state is SessionState.STARTING:
            self.flow.enter(SessionState.STARTING, None)

    def local_storage(self) -> str | None:
        return self.session.local_storage()

    def on_local_storage_given(self) -> None:
        self.session.on_local_storage_given()

    def on_starting(self, reason: str) -> None:
        self.session.on_browser_starting()
        self.flow.enter(SessionState.STARTING, reason)

    def on_page(self, page: "WhatsAppPage") -> None:
        page.on_event = self._on_page_event
        self.builds.on_page(page)
        page.on_missed = self.audit.missed
        self.flow.on_page()

    def _on_page_event(self, event: PageEvent) -> None:
        self.builds.on_page_event(event)
        if isinstance(event, AcksSeen):
            self.sends.on_acks(event)
        else:
            self.flow.on_page_event(event)

    def _on_changed(self) -> None:
        self._board.poke()
        self.sends.on_state(self.flow.state, self.flow.reason)

    def on_started(self, cause: str | None, starts: int) -> None:
        if cause is not None:
            incident, self.incident = self.incident, None
            data = RestartedData(what="browser", cause=cause, starts=starts, incident=incident)
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
        task = self._tasks.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until they are done: on Python 3.11 a library's `asyncio.wait_for` may swallow a cancellation."""
    while tasks:
        for task in tasks:
            task.cancel()
        _done, pending = await asyncio.wait(tasks, timeout=0.2)
        tasks = list(pending)
