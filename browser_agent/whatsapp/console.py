"""The last lines of the page's console: for a person who wants to know what a page is stuck in.

They may hold numbers and texts of messages: nobody may log them or put them into Redis.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from .cdp import CdpSession

LINES = 50
LINE_AT_MOST = 300

Params = dict[str, Any]


class ConsoleTail:
    """Hears a tab's session, whose Runtime and Log domains pyppeteer has turned on. `lines` are oldest first."""

    def __init__(self, session: CdpSession) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        session.on("Runtime.consoleAPICalled", self._hear(_called))
        session.on("Runtime.exceptionThrown", self._hear(_thrown))
        session.on("Log.entryAdded", self._hear(_entry))

    @property
    def lines(self) -> list[str]:
        """Each with its kind, cut to LINE_AT_MOST."""
        return list(self._lines)

    def _hear(self, read: Callable[[Params], str]) -> Callable[[Params], None]:
        # Cut here: a page may log megabytes.
        return lambda params: self._lines.append(read(params)[:LINE_AT_MOST])


def _called(params: Params) -> str:
    return f"{params.get('type', 'log')}: {' '.join(map(_text, params.get('args', [])[:10]))}"


def _thrown(params: Params) -> str:
    details = params.get("exceptionDetails", {})
    return f"exception: {details.get('exception', {}).get('description') or details.get('text', '')}"


def _entry(params: Params) -> str:
    entry = params.get("entry", {})
    return f"{entry.get('level', 'log')}: {entry.get('text', '')} {entry.get('url', '')}".rstrip()


def _text(arg: Params) -> str:
    value = arg["value"] if "value" in arg else arg.get("description") or arg.get("type", "")
    return str(value)[:LINE_AT_MOST]
