"""What the page's stream amounts to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_agent.stream_state import next_state
from browser_agent.whatsapp.models import StreamSnapshot
from whatsapp_contract.states import LEGAL_MOVES, SessionState

S = SessionState
MODES = ["QR", "MAIN", "SYNCING", "OFFLINE", "CONFLICT", "PROXYBLOCK", "TOS_BLOCK", "SMB_TOS_BLOCK"]
INFOS = ["OFFLINE", "OPENING", "PAIRING", "SYNCING", "RESUMING", "CONNECTING", "NORMAL"]
SOCKETS = [
    "UNLAUNCHED", "OPENING", "PAIRING", "UNPAIRED", "UNPAIRED_IDLE", "CONNECTED", "TIMEOUT", "CONFLICT", "PROXYBLOCK",
    "TOS_BLOCK", "SMB_TOS_BLOCK", "DEPRECATED_VERSION",
]  # fmt: skip


def stream(
    mode: str | None, info: str = "NORMAL", socket: str = "CONNECTED", *, paired: bool = True
) -> StreamSnapshot:
    return StreamSnapshot(injected=True, mode=mode, info=info, socket=socket, authenticated=paired, registered=paired)


@pytest.mark.parametrize(
    ("snapshot", "current", "expected"),
    [
        (stream("MAIN"), S.SYNCING, (S.READY, None)),
        (stream("MAIN"), S.STARTING, (S.READY, None)),
        (stream("MAIN", "OPENING", "OPENING"), S.READY, (S.DISCONNECTED, "link_dropped")),
        (stream("MAIN", "OPENING", "OPENING"), S.STARTING, (S.SYNCING, None)),
        (stream("SYNCING", "PAIRING", "PAIRING"), S.AWAITING_SCAN, (S.SYNCING, None)),
        (stream("OFFLINE", "OFFLINE", "OPENING"), S.STARTING, (S.DISCONNECTED, "offline")),
        (stream("CONFLICT", "NORMAL", "CONFLICT"), S.READY, (S.CONFLICT, "conflict")),
        (stream("TOS_BLOCK"), S.READY, (S.BLOCKED, "tos_block")),
        (stream("MAIN", socket="DEPRECATED_VERSION"), S.READY, (S.BLOCKED, "deprecated_version")),
        (stream("QR", socket="UNPAIRED", paired=False), S.READY, (S.LOGGED_OUT, "logged_out")),
        (stream("QR", socket="UNPAIRED", paired=False), S.STARTING, (S.STARTING, None)),
        (stream("SYNCING", paired=False), S.STARTING, (S.STARTING, None)),
        (stream(None), S.READY, (S.READY, None)),
        (StreamSnapshot(injected=False), S.READY, (S.READY, None)),
    ],
)
def test_the_state_follows_the_stream(
    snapshot: StreamSnapshot, current: SessionState, expected: tuple[SessionState, str | None]
) -> None:
    assert next_state(snapshot, current) == expected


def test_a_page_that_says_main_without_a_login_is_not_ready() -> None:
    half = StreamSnapshot(injected=True, mode="MAIN", info="NORMAL", socket="CONNECTED", registered=True)
    assert next_state(half, S.SYNCING)[0] is S.SYNCING


@given(
    mode=st.sampled_from(MODES),
    info=st.sampled_from(INFOS),
    socket=st.sampled_from(SOCKETS),
    authenticated=st.booleans(),
    registered=st.booleans(),
    current=st.sampled_from([state for state in S if state is not S.STOPPING]),
)
def test_whatever_the_page_says_leads_to_a_legal_move(
    mode: str, info: str, socket: str, authenticated: bool, registered: bool, current: SessionState
) -> None:
    snapshot = StreamSnapshot(
        injected=True, mode=mode, info=info, socket=socket, authenticated=authenticated, registered=registered
    )
    state, _reason = next_state(snapshot, current)
    assert state is current or state in LEGAL_MOVES[current]
