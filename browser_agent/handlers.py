"""One short handler per command. Validation, replies and mutual exclusion are done around them."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from whatsapp_contract.arguments import CauseArgs, NoArgs, RungArgs
from whatsapp_contract.errors import ContractError, NotReady, ResetUnproven
from whatsapp_contract.events import EventType, ResetData
from whatsapp_contract.results import (
    BackupResult,
    CheckResult,
    LogoutResult,
    PingResult,
    ReloadResult,
    ResetResult,
    RestartBrowserResult,
    ShutdownResult,
)
from whatsapp_contract.states import SessionState

from . import chat_handlers
from .media import handlers as media_handlers
from .pairing_code import pairing_code
from .sending import handlers as send_handlers

if TYPE_CHECKING:
    from .agent import BrowserAgent

RESTART_BROWSER_WITHIN_S = 40.0

# A reset needs a pairing to reconnect with.
_CAN_RESET = frozenset({SessionState.READY, SessionState.DISCONNECTED, SessionState.SYNCING, SessionState.CONFLICT})
_CAN_LOG_OUT = _CAN_RESET


async def ping(agent: "BrowserAgent", _args: NoArgs) -> PingResult:
    held_until = agent.keeper.held_until
    return PingResult(
        instance=agent.settings.instance_id,
        pid=os.getpid(),
        epoch=agent.epoch,
        state=agent.state,
        operation=agent.operation,
        held_until=datetime.fromtimestamp(held_until, UTC) if held_until else None,
    )


async def check(agent: "BrowserAgent", _args: NoArgs) -> CheckResult:
    """Raises PageTimeout, PageCrashed or BrowserGone where the page should answer and does not."""
    try:
        await agent.probe()
    except NotReady:
        pass  # between two documents; the state says so
    except ContractError:
        # While the browser comes up, is held back, or an operation works on it, the page need not answer.
        if agent.operation is None and agent.state is not SessionState.STARTING and agent.keeper.held_until is None:
            raise
    facts = agent.facts()
    assessment = agent.assess(facts)
    return CheckResult(
        facts=facts,
        verdict=assessment.verdict,
        reason=assessment.reason,
        operation=agent.operation,
        operation_s=agent.operation_s,
    )


async def reset(agent: "BrowserAgent", args: RungArgs) -> ResetResult:
    """A session in conflict is taken over from the client that holds it.

    Raises NotReady without an account, ResetUnproven without proof of a new connection.
    """
    if agent.state not in _CAN_RESET:
        raise NotReady(f"cannot reset while {agent.state}")
    started = time.monotonic()
    page = agent.page()
    how = "takeover" if agent.state is SessionState.CONFLICT else "reconnect"
    try:
        await (page.take_over() if how == "takeover" else page.reset())
    except ResetUnproven:
        _tell_reset(agent, how, args, started, proven=False)
        raise
    took_ms = _tell_reset(agent, how, args, started, proven=True)
    return ResetResult(took_ms=took_ms, frame_seen_at=agent.facts().frame_seen_at)


async def reload(agent: "BrowserAgent", args: RungArgs) -> ReloadResult:
    started = time.monotonic()
    try:
        steps = await agent.page().reload()
    except ContractError:
        _tell_reset(agent, "reload", args, started, proven=False)
        raise
    took_ms = _tell_reset(agent, "reload", args, started, proven=True)
    return ReloadResult(steps=steps, took_ms=took_ms)


async def restart_browser(agent: "BrowserAgent", args: RungArgs) -> RestartBrowserResult:
    started = time.monotonic()
    agent.incident = args.incident
    chromium = await agent.keeper.restart(args.cause, RESTART_BROWSER_WITHIN_S)
    return RestartBrowserResult(browser_pid=chromium.pid, took_ms=_ms_since(started))


async def logout(agent: "BrowserAgent", _args: CauseArgs) -> LogoutResult:
    if agent.state not in _CAN_LOG_OUT:
        raise NotReady(f"nobody is logged in while {agent.state}")
    started = time.monotonic()
    await agent.page().logout()
    await agent.session.bury("logout")
    return LogoutResult(took_ms=_ms_since(started))


async def backup(agent: "BrowserAgent", args: CauseArgs) -> BackupResult:
    """Raises NotReady unless the account has been ready and was not unlinked since, and StoreUnavailable."""
    saved = await agent.session.save(args.cause)
    return BackupResult(
        generation=saved.generation, is_new=saved.is_new, stored_bytes=saved.stored_bytes, took_ms=saved.took_ms
    )


async def shutdown(agent: "BrowserAgent", _args: CauseArgs) -> ShutdownResult:
    """Under supervisord its process is told, and stops everything; else only this agent stops."""
    loop = asyncio.get_running_loop()
    if "SUPERVISOR_ENABLED" in os.environ:
        loop.call_later(0.1, os.kill, os.getppid(), signal.SIGTERM)  # after the reply
    else:
        loop.call_later(0.1, agent.stop)
    return ShutdownResult()


Handler = Callable[["BrowserAgent", Any], Awaitable[BaseModel]]

HANDLERS: dict[str, Handler] = (
    {
        handler.__name__: handler
        for handler in (ping, check, reset, reload, restart_browser, logout, backup, shutdown, pairing_code)
    }
    | chat_handlers.HANDLERS
    | media_handlers.HANDLERS
    | send_handlers.HANDLERS
)


def _tell_reset(agent: "BrowserAgent", how: Any, args: RungArgs, started: float, *, proven: bool) -> float:
    took_ms = _ms_since(started)
    data = ResetData(how=how, cause=args.cause, proven=proven, took_ms=took_ms, incident=args.incident)
    agent.event_log.publish(EventType.RESET, data)
    return took_ms


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
