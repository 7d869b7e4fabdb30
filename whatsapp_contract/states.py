"""The states of a session and the moves between them."""

from enum import StrEnum


class SessionState(StrEnum):
    """What the session is in. Only `ready` can carry messages."""

    STARTING = "starting"  # agent, browser or page is coming up; nothing is known yet
    AWAITING_SCAN = "awaiting_scan"  # a QR code is on show
    SYNCING = "syncing"  # paired; the page loads what it missed
    READY = "ready"
    DISCONNECTED = "disconnected"  # paired, but without a living link to the server
    CONFLICT = "conflict"  # the account is open in another place that took over
    LOGGED_OUT = "logged_out"  # the phone, or a command, unlinked this device
    BLOCKED = "blocked"  # WhatsApp refuses: account, address or version
    STOPPING = "stopping"


_S = SessionState
_FROM_PAGE = frozenset(
    {_S.AWAITING_SCAN, _S.SYNCING, _S.READY, _S.DISCONNECTED, _S.CONFLICT, _S.LOGGED_OUT, _S.BLOCKED}
)
_ALWAYS = frozenset({_S.STARTING, _S.STOPPING})

# A page that was paired never shows a code again without having been logged out first, and a page that was not
# paired cannot be logged out. Between two looks at it a page may have gone through several states.
LEGAL_MOVES: dict[SessionState, frozenset[SessionState]] = {
    _S.STARTING: _FROM_PAGE | {_S.STOPPING},
    _S.AWAITING_SCAN: _FROM_PAGE - {_S.AWAITING_SCAN, _S.LOGGED_OUT} | _ALWAYS,
    _S.SYNCING: frozenset({_S.READY, _S.DISCONNECTED, _S.CONFLICT, _S.LOGGED_OUT, _S.BLOCKED}) | _ALWAYS,
    _S.READY: frozenset({_S.SYNCING, _S.DISCONNECTED, _S.CONFLICT, _S.LOGGED_OUT, _S.BLOCKED}) | _ALWAYS,
    _S.DISCONNECTED: frozenset({_S.SYNCING, _S.READY, _S.CONFLICT, _S.LOGGED_OUT, _S.BLOCKED}) | _ALWAYS,
    _S.CONFLICT: frozenset({_S.SYNCING, _S.READY, _S.DISCONNECTED, _S.LOGGED_OUT, _S.BLOCKED}) | _ALWAYS,
    _S.LOGGED_OUT: _FROM_PAGE - {_S.LOGGED_OUT} | _ALWAYS,
    _S.BLOCKED: _FROM_PAGE - {_S.BLOCKED} | _ALWAYS,
    _S.STOPPING: frozenset(),
}


class IllegalMove(Exception):
    """The agent tried a move that the table does not have: a bug, never a fault of the page."""

    def __init__(self, previous: SessionState, state: SessionState) -> None:
        super().__init__(f"{previous} -> {state}")
        self.previous, self.state = previous, state


def check_move(previous: SessionState, state: SessionState) -> None:
    """Raises IllegalMove unless the table has the move."""
    if state not in LEGAL_MOVES[previous]:
        raise IllegalMove(previous, state)
