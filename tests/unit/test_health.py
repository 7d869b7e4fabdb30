"""The verdict over facts: healthy needs everything at once, and what needs a person is never bad."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_contract.health import SITE_UNREACHABLE, Facts, Limits, Verdict, verdict
from whatsapp_contract.states import SessionState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def facts(state: SessionState = SessionState.READY, **changes: Any) -> Facts:
    known = {
        "observed_at": NOW,
        "state": state,
        "since": ago(3),
        "browser_seen_at": ago(1),
        "page_seen_at": ago(1),
        "frame_seen_at": ago(10),
    }
    return Facts.model_validate({**known, **changes})


def test_a_ready_session_whose_browser_and_page_were_just_heard_is_healthy() -> None:
    assert verdict(facts(), LIMITS, NOW).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({"page_seen_at": ago(31)}, Verdict.PAGE_HUNG, "page_silent"),
        ({"page_seen_at": None}, Verdict.PAGE_HUNG, "page_silent"),
        ({"browser_seen_at": ago(31), "page_seen_at": ago(31)}, Verdict.BROWSER_GONE, "browser_silent"),
        ({"browser_seen_at": None}, Verdict.BROWSER_GONE, "browser_silent"),
        ({"held_until": ago(-60)}, Verdict.WAITING_FOR_PERSON, "start_budget_spent"),
        ({"held_until": ago(60)}, Verdict.HEALTHY, "ready"),
    ],
)
def test_the_deciding_fact_is_named(changes: dict[str, Any], expected: Verdict, reason: str) -> None:
    assessment = verdict(facts(**changes), LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (expected, reason)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (SessionState.STARTING, Verdict.DEGRADED),
        (SessionState.AWAITING_SCAN, Verdict.WAITING_FOR_PERSON),
        (SessionState.SYNCING, Verdict.DEGRADED),
        (SessionState.READY, Verdict.HEALTHY),
        (SessionState.DISCONNECTED, Verdict.DISCONNECTED),
        (SessionState.CONFLICT, Verdict.WAITING_FOR_PERSON),
        (SessionState.LOGGED_OUT, Verdict.WAITING_FOR_PERSON),
        (SessionState.BLOCKED, Verdict.BLOCKED),
        (SessionState.STOPPING, Verdict.DEGRADED),
    ],
)
def test_each_state_has_its_verdict(state: SessionState, expected: Verdict) -> None:
    assert verdict(facts(state), LIMITS, NOW).verdict is expected


def test_a_link_that_was_never_heard_is_unknown_not_dead() -> None:
    assert verdict(facts(frame_seen_at=None), LIMITS, NOW).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(("state", "limit_s"), [(SessionState.STARTING, 180), (SessionState.SYNCING, 900)])
def test_coming_up_ends_at_its_deadline(state: SessionState, limit_s: float) -> None:
    assert verdict(facts(state, since=ago(limit_s)), LIMITS, NOW).verdict is Verdict.DEGRADED
    overdue = verdict(facts(state, since=ago(limit_s + 1)), LIMITS, NOW)
    assert (overdue.verdict, overdue.reason) == (Verdict.PAGE_HUNG, f"stuck_in_{state}")


def test_a_site_that_cannot_be_reached_is_nothing_a_restart_would_cure() -> None:
    unreachable = facts(SessionState.STARTING, since=ago(7200), reason=SITE_UNREACHABLE)
    assert verdict(unreachable, LIMITS, NOW).verdict is Verdict.DEGRADED


def test_while_the_browser_starts_its_silence_is_no_fault() -> None:
    silent = facts(SessionState.STARTING, browser_seen_at=None, page_seen_at=None)
    assert verdict(silent, LIMITS, NOW).verdict is Verdict.DEGRADED


@given(state=st.sampled_from(SessionState), page_age=st.floats(0, 100), browser_age=st.floats(0, 100))
def test_healthy_means_ready_and_heard(state: SessionState, page_age: float, browser_age: float) -> None:
    assessment = verdict(facts(state, page_seen_at=ago(page_age), browser_seen_at=ago(browser_age)), LIMITS, NOW)
    if assessment.verdict is Verdict.HEALTHY:
        assert state is SessionState.READY
        assert page_age <= LIMITS.page_silence_s
        assert browser_age <= LIMITS.browser_silence_s
