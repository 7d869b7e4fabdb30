"""What lines of a log have in common: the command, the send, the operation or the incident that they belong to.

`bound` holds for what is called within the block, and for the tasks that are begun there. `during` holds for every
line of the process, whichever task or thread it is of: for what runs one at a time and has its work done by others.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

_during: dict[str, Any] = {}


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Put these on every line of the block; what is None is left out."""
    with structlog.contextvars.bound_contextvars(**_known(fields)):
        yield


def bind(**fields: Any) -> None:
    """As bound, until the present task ends."""
    structlog.contextvars.bind_contextvars(**_known(fields))


@contextmanager
def during(**fields: Any) -> Iterator[None]:
    """Put these on every line of the process until the block ends; what is None is left out."""
    before = {name: _during.get(name) for name in fields}
    _during.update(_known(fields))
    try:
        yield
    finally:
        for name, value in before.items():
            _during.pop(name, None)
            if value is not None:
                _during[name] = value


def current() -> dict[str, Any]:
    """What is put on a line that is written here and now."""
    return {**_during, **structlog.contextvars.get_contextvars()}


def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """structlog's processor. What a line says itself stands."""
    return {**current(), **event}


def send_ref(idempotency_key: str) -> str:
    """A send in the log. Its key is the backend's own and may be somebody's number: six hexadecimal digits of a hash
    are enough to follow one through the lines, and too few to find out which of all numbers it was."""
    return hashlib.sha256(idempotency_key.encode(errors="replace")).hexdigest()[:6]


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
