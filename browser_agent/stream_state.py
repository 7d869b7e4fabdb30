"""What the page's stream amounts to: a pure function from wa-js' view and the state so far to the next state.

Sources: the stream modes, infos and socket states that wa-js 4.6.0 declares; which of them a scan, a drop and a
conflict go through was measured on the stand-in.
"""

from whatsapp_contract.states import SessionState

from .whatsapp.models import StreamSnapshot

_BLOCKED = frozenset({"PROXYBLOCK", "TOS_BLOCK", "SMB_TOS_BLOCK", "DEPRECATED_VERSION"})
DEPRECATED = "deprecated_version"  # the reason of that state where it is the build of the site
_WAS_CONNECTED = frozenset({SessionState.READY, SessionState.DISCONNECTED, SessionState.CONFLICT})
_WAS_PAIRED = _WAS_CONNECTED | {SessionState.SYNCING}


def next_state(stream: StreamSnapshot, current: SessionState) -> tuple[SessionState, str | None]:
    """The state the page is in, with the reason where there is one; the current state where it tells nothing new.

    A page at the QR code is not answered here with AWAITING_SCAN: only a code on show is something to scan.
    """
    if not stream.injected or stream.mode is None:
        return current, None
    for sign in (stream.mode, stream.socket or ""):
        if sign in _BLOCKED:
            return SessionState.BLOCKED, sign.lower()
    if "CONFLICT" in (stream.mode, stream.socket):
        return SessionState.CONFLICT, "conflict"
    if stream.mode == "QR":
        return (SessionState.LOGGED_OUT, "logged_out") if current in _WAS_PAIRED else (current, None)
    if not stream.registered and not stream.authenticated:
        return current, None
    if stream.mode == "MAIN" and stream.info == "NORMAL" and stream.authenticated:
        return SessionState.READY, None
    if stream.mode == "OFFLINE":
        return SessionState.DISCONNECTED, "offline"
    if current in _WAS_CONNECTED:
        return SessionState.DISCONNECTED, "link_dropped"
    return SessionState.SYNCING, None
