"""A session's flow beside neighbours that do nothing."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from browser_agent.session_flow import SessionFlow


class Deaf:
    """Takes whatever it is told."""

    is_set = False

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_named: None


def flow_of(operation: Callable[[], str | None] = lambda: None) -> SessionFlow:
    """In an event loop that runs; `operation` is what the agent is at."""
    deaf = cast(Any, Deaf())
    return SessionFlow(
        deaf,
        deaf,
        deaf,
        deaf,
        deaf,
        deaf,
        deaf,
        page=lambda: cast(Any, SimpleNamespace()),
        operation=operation,
        aside=lambda work: work.close(),
        changed=lambda: None,
    )
