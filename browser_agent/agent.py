"""BrowserAgent: opens its resources, runs its tasks, carries out commands. Start reading here; its parts are put
together in assembly.py, the state moves in session_flow.py."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
from pydantic import BaseModel

from whatsapp_contract import log_context
from whatsapp_contract.arguments import RungArgs
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.errors import BrowserGone, Busy, ContractError, PageTimeout
from whatsapp_contract.events import (
    AlertData,
    EventType,
    RestartedData,
)
from whatsapp_contract.health import OUTRUN, Assessment, Facts, Limits, verdict
from whatsapp_contract.incidents import RestartCause
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import HEARTBEAT_S

from . import handlers
from .assembly import assemble
from .browser_keeper import BrowserKeeper
from .builds import Builds
from .command_bus import CommandBus
from .deadlines import Deadlines
from .event_log import EventLog
from .evidence import Evidence
from .fence import Fence, Fenced
from .follow import Follow
from .gap_audit import GapAudit
from .joined import Joined
from .media.keeper import MediaKeeper
from .memory_watch import MemoryWatch
from .qr_show import QrShow
from .sending.sends import Sends
from .session_flow import SessionFlow
from .session_keeper import SessionKeeper
from .start_budget import StartBudget
from .status_board import StatusBoard
from .status_report import status_of
from .stream_trimmer import StreamTrimmer
from .stuck import remedy
from .watermarks import Watermarks

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

STOP_WITHIN_S = 4.8  # everything; the container is killed ten seconds after it was asked to stop
FLUSH_WITHIN_S = 0.8
STOP_REMEMBERED_S = 30 * 86_400
ASIDE_KEPT_S = 60


class BrowserAgent:
    """The process that owns the page. `run` returns after `stop`, or raises what is a bug."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.operation: str | None = None
        self._operating_since = 0.0
        self.incident: str | None = None  # in which the browser is now to be restarted
        self.started_at = datetime.now(UTC)
        self._stopping = asyncio.Event()
        self._unstuck_at: float | None = None  # loop time
        self.limits = Limits()
        self._asking = Joined(self._ask_page)
        self._tasks: asyncio.TaskGroup
        self._side_tasks: set[asyncio.Task[None]] = set()
        # The parts: assembly.py.
        self.keeper: BrowserKeeper
        self.session: SessionKeeper
        self.fence: Fence
        self.evidence: Evidence
        self.memory: MemoryWatch
        self.event_log: EventLog
        self.trimmer: StreamTrimmer
        self.follow: Follow
        self.audit: GapAudit
        self.media: MediaKeeper
        self.watermarks: Watermarks
        self.board: StatusBoard
        self.budget: StartBudget
        self.deadlines: Deadlines
        self.qr: QrShow
        self._bus: CommandBus
        self.flow: SessionFlow
        self.sends: Sends
        self.builds: Builds

    @property
    def epoch(self) -> int:
        """The fencing token of this life."""
        return self.fence.epoch

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
            assemble(self, redis_client, fence)
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
                tasks.create_task(self.trimmer.run()),
                tasks.create_task(self.audit.run()),
                tasks.create_task(self.media.run()),
                tasks.create_task(self.board.run()),
                tasks.create_task(self._look_at_the_page()),
                tasks.create_task(self.memory.run()),
                tasks.create_task(self._close_when_outrun(keeping)),
                tasks.create_task(self.deadlines.run()),
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
                    await self.board.write()
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
        log.info("the agent was started again", cause=found.cause, incident=found.incident)
        self.event_log.publish(
            EventType.RESTARTED, RestartedData(what="agent", cause=found.cause, incident=found.incident)
        )

    async def _leave_word(self, client: "redis.asyncio.Redis") -> None:
        """For the next agent: this one was stopped, and nothing was wrong; unless whoever stopped it said why."""
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            word = RestartCause(cause="stop").model_dump_json()
            await client.set(self.settings.instance_names.restart_cause, word, nx=True, ex=STOP_REMEMBERED_S)
            if self.keeper.closed_properly:
                await self.budget.forgive()

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
        found = remedy(self.state, in_state_s, self.qr.expired_for_s, since(self._unstuck_at))
        if found == "refresh_qr":
            await self.flow.refresh_qr()
        elif found == "reload":
            log.warning("the page is stuck and is loaded anew", state=self.state.value)
            self._unstuck_at = now
            await self.reload_for(f"stuck_in_{self.state.value}")

    async def reload_for(self, cause: str) -> None:
        """Load the page anew. Raises Busy, and what a reload raises."""
        async with self.exclusive("reload"):
            await handlers.reload(self, RungArgs(cause=cause))

    # -- commands ----------------------------------------------------------------------------------------------------

    async def _carry_out(self, spec: CommandSpec, args: Any) -> BaseModel:
        handler = handlers.HANDLERS[spec.name]
        if not spec.mutating:
            return await handler(self, args)
        async with self.exclusive(spec.name, incident=getattr(args, "incident", None)):
            return await handler(self, args)

    @contextlib.asynccontextmanager
    async def exclusive(self, operation: str, incident: str | None = None) -> AsyncIterator[None]:
        """One operation at a time. Raises Busy. Its work is done by many tasks: all lines of the log name it."""
        if self.operation is not None:
            raise Busy(f"{self.operation} is under way")
        self.operation = operation
        self._operating_since = asyncio.get_running_loop().time()
        self.board.poke()
        try:
            with log_context.during(operation=operation, incident=incident):
                yield
        finally:
            self.operation = None
            self.board.poke()

    @property
    def operation_s(self) -> float | None:
        """For how long the operation has been under way; None where there is none."""
        return None if self.operation is None else asyncio.get_running_loop().time() - self._operating_since

    def page(self) -> "WhatsAppPage":
        """Raises BrowserGone while there is none."""
        if self.keeper.page is None:
            raise BrowserGone("there is no browser")
        return self.keeper.page

    async def probe(self) -> None:
        """Ask the page; where it does not answer, ask the browser, so that it is known which of them is silent. One
        question at a time: whoever asks meanwhile gets its answer.

        Raises PageTimeout, PageCrashed, BrowserGone or NotReady.
        """
        await self._asking()

    async def _ask_page(self) -> None:
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
        return verdict(facts, self.limits, facts.observed_at)

    def on_changed(self) -> None:
        """The session's state has changed, or its reason."""
        self.board.poke()
        self.sends.on_state(self.flow.state, self.flow.reason)

    async def keep_dossier(self, code: str, stuck_fact: str) -> Path | None:
        """The dossier's path; None where it could not be kept."""
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

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
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
