"""The tasks, thin: what they do is in watchdog.py. Huey knows them by this module's name: import it, never run it."""

from functools import cache
from typing import TYPE_CHECKING, Any

from .task_queue import settings, task_queue

if TYPE_CHECKING:
    from .watchdog import Watchdog

# A check that waited longer than this tells nothing any more: the next is due.
CHECK_EXPIRES_S = 9
RESET_EXPIRES_S = 55
RESTART_EXPIRES_S = 30


@task_queue.task(expires=CHECK_EXPIRES_S, context=True)  # type: ignore[untyped-decorator]
def check(task: Any = None) -> None:
    """Look at the agent; take the next rung of the ladder where that is due. `task` is Huey's own of this run."""
    # The scheduler imports this module for the tasks' names alone.
    from .ticks import second_of

    _watchdog().check(second_of(task))


@task_queue.task(expires=RESET_EXPIRES_S)  # type: ignore[untyped-decorator]
def reset() -> None:
    """The scheduled reset of the connection; escalates when it cannot be proven."""
    _watchdog().scheduled_reset()


@task_queue.task(expires=RESTART_EXPIRES_S)  # type: ignore[untyped-decorator]
def restart_agent(cause: str) -> None:
    """Restart the agent because a person asked for it."""
    _watchdog().restart_agent(cause)


@cache
def _watchdog() -> "Watchdog":
    from .watchdog import Watchdog

    return Watchdog.from_settings(settings)
