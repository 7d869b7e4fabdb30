"""How the agent gives memory back: when it may, and what is done first so that nothing is lost."""

import asyncio
from typing import TYPE_CHECKING

from whatsapp_contract.arguments import RungArgs
from whatsapp_contract.errors import Busy
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.logs import get_logger
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState

from . import handlers
from .container_memory import memory_at_most
from .memory_cures import CureMemory
from .memory_watch import CURES_UNTIL_TOLD, MIB, MemoryWatch, Step
from .process_tree import memory_of

if TYPE_CHECKING:
    import redis.asyncio

    from .agent import BrowserAgent

log = get_logger(__name__)

DEFAULT_PART = 0.75  # of the container's own limit; the rest is for our processes and the page cache
MESSAGES_SETTLE_S = 10.0
SAVE_WITHIN_S = 30.0  # a store that does not answer must not keep memory from being won back
FLUSH_WITHIN_S = 3.0

# Elsewhere a person is about to scan, or the page is on its way, without a snapshot to come back to.
_CAN_BE_LOADED_ANEW = frozenset({SessionState.READY, SessionState.DISCONNECTED})

CAUSE = "memory"
ALERT = "memory_limit_too_low"


def watch_memory(agent: "BrowserAgent", client: "redis.asyncio.Redis") -> MemoryWatch:
    """The watch of this agent's browser."""
    profile = agent.settings.session_dir / "profile"
    return MemoryWatch(
        limit_bytes(agent.settings),
        lambda: memory_of(profile),
        lambda: is_quiet(agent),
        lambda step: relieve(agent, step),
        CureMemory(client, agent.settings.instance_names),
    )


def limit_bytes(settings: Settings) -> int | None:
    """As BROWSER_MEMORY_LIMIT_MB says; None where it is turned off."""
    given = settings.browser_memory_limit_mb
    if given is None:
        return int(memory_at_most() * DEFAULT_PART)
    return given * MIB or None


def is_quiet(agent: "BrowserAgent") -> bool:
    """Nothing is under way that loading the page anew would interrupt."""
    told_at = agent.evidence.message_event_at
    is_settled = told_at is None or asyncio.get_running_loop().time() - told_at >= MESSAGES_SETTLE_S
    return (
        agent.state is SessionState.READY
        and agent.operation is None
        and is_settled
        and agent.event_log.is_idle
        and not agent.sends.is_carrying
        and not agent.media.is_fetching
    )


async def relieve(agent: "BrowserAgent", step: Step) -> None:
    """Carry a step out. Raises Busy beside another operation, and what the step itself raises."""
    if step == "alert":
        _alert(agent)
        return
    _must_be_free(agent)
    # Before the operation, during which nobody else can do anything: a slow store may take half a minute.
    await agent.session.save_if_known_good(CAUSE, SAVE_WITHIN_S)
    if not await agent.event_log.flushed(FLUSH_WITHIN_S):
        log.warning("events still wait for Redis; they stay queued")
    _must_be_free(agent)
    async with agent.exclusive(step):
        args = RungArgs(cause=CAUSE)
        if step == "reload":
            await handlers.reload(agent, args)
        else:
            await handlers.restart_browser(agent, args)


def _must_be_free(agent: "BrowserAgent") -> None:
    if agent.operation is not None:
        raise Busy(f"{agent.operation} is under way")
    if agent.state not in _CAN_BE_LOADED_ANEW:
        raise Busy(f"nothing is loaded anew while {agent.state}")


def _alert(agent: "BrowserAgent") -> None:
    taken, limit = agent.memory.bytes or 0, agent.memory.limit_bytes or 0
    message = (
        f"The browser takes {taken // MIB} MiB, over its limit of {limit // MIB} MiB, again after {CURES_UNTIL_TOLD} "
        "times in which its page was loaded anew or it was restarted: the page needs more than the limit, or fills up "
        "within minutes. From now on that is done once a day at most; sooner only where it is far over the limit, and "
        "comes down for some minutes by it. "
        "Give the container more memory, or set BROWSER_MEMORY_LIMIT_MB higher where it has enough."
    )
    log.error("the browser's memory cannot be won back", bytes=taken, limit_bytes=limit)
    agent.event_log.publish(EventType.ALERT, AlertData(code=ALERT, message=message))
