"""The states and their moves."""

import pytest

from whatsapp_contract.states import LEGAL_MOVES, IllegalMove, SessionState, check_move

S = SessionState


def test_every_state_is_in_the_table_and_has_an_exit() -> None:
    assert set(LEGAL_MOVES) == set(S)
    for state, moves in LEGAL_MOVES.items():
        assert moves or state is S.STOPPING


def test_whatever_runs_may_stop() -> None:
    assert all(S.STOPPING in moves for state, moves in LEGAL_MOVES.items() if state is not S.STOPPING)


@pytest.mark.parametrize(
    ("previous", "state"),
    [
        (S.READY, S.AWAITING_SCAN),  # not without having been logged out
        (S.AWAITING_SCAN, S.LOGGED_OUT),
        (S.STOPPING, S.READY),
        (S.STOPPING, S.STARTING),
    ],
)
def test_an_undeclared_move_raises(previous: S, state: S) -> None:
    with pytest.raises(IllegalMove, match=f"{previous} -> {state}"):
        check_move(previous, state)
