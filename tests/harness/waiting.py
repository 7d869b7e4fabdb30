"""Waiting for a condition, with an end."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], within_s: float, what: str, *, every_s: float = 0.02) -> _T:
    """The first true value of the condition. Fails the test, naming `what`, when there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)
