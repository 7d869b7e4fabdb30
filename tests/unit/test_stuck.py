"""What the agent tries by itself in states that wait for a person."""

import pytest

from browser_agent.stuck import BETWEEN_RELOADS_S, remedy
from whatsapp_contract.states import SessionState


@pytest.mark.parametrize(
    ("expired_for_s", "expected"), [(-10.0, None), (4.0, None), (40.0, "refresh_qr"), (100.0, "reload"), (None, None)]
)
def test_a_code_that_expired_is_asked_for_and_then_the_page_is_loaded_anew(
    expired_for_s: float | None, expected: str | None
) -> None:
    assert remedy(SessionState.AWAITING_SCAN, 5000, expired_for_s, None) == expected


def test_a_logged_out_page_without_a_code_is_loaded_anew_but_not_again_at_once() -> None:
    assert remedy(SessionState.LOGGED_OUT, 30, None, None) is None
    assert remedy(SessionState.LOGGED_OUT, 61, None, None) == "reload"
    assert remedy(SessionState.LOGGED_OUT, 90, None, 29) is None
    assert remedy(SessionState.LOGGED_OUT, 300, None, BETWEEN_RELOADS_S) == "reload"


def test_a_blocked_page_is_looked_at_anew_every_half_hour() -> None:
    assert remedy(SessionState.BLOCKED, 1700, None, None) is None
    assert remedy(SessionState.BLOCKED, 1801, None, None) == "reload"


@pytest.mark.parametrize("state", sorted(set(SessionState) - {"awaiting_scan", "logged_out", "blocked"}))
def test_all_other_states_are_the_ladders(state: SessionState) -> None:
    assert remedy(state, 10_000, 10_000, None) is None
