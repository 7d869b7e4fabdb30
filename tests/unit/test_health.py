"""The verdict over facts: healthy needs everything at once, and what needs a person is never bad."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_contract.health import LEFT_TO_A_PERSON, RETRIED_BY_AGENT, Facts, Limits, Verdict, verdict
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


@pytest.mark.parametrize("changes", [{"frame_seen_at": None}, {"authenticated": None}])
def test_what_was_never_heard_is_unknown_not_dead(changes: dict[str, Any]) -> None:
    assert verdict(facts(**changes), LIMITS, NOW).verdict is Verdict.HEALTHY


def test_ready_without_an_account_is_not_healthy() -> None:
    assessment = verdict(facts(authenticated=False), LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (Verdict.DISCONNECTED, "not_authenticated")


@pytest.mark.parametrize(
    ("changes", "is_healthy"),
    [
        ({"frame_seen_at": ago(120)}, True),
        ({"frame_seen_at": ago(121)}, False),
        ({"frame_seen_at": ago(7200), "since": ago(9000)}, False),
        ({"frame_seen_at": ago(7200), "link_asked_at": ago(30)}, False),
        ({"frame_seen_at": ago(7200), "link_answered_at": ago(30)}, True),
        ({"frame_seen_at": ago(7200), "link_answered_at": ago(7000)}, False),
        ({"frame_seen_at": ago(121), "link_asked_after_s": 45}, False),
        ({"frame_seen_at": ago(610), "link_asked_after_s": 300}, True),
        ({"frame_seen_at": ago(611), "link_asked_after_s": 300}, False),
    ],
)
def test_ready_needs_a_server_heard_within_two_rounds_of_asking_it(changes: dict[str, Any], is_healthy: bool) -> None:
    assessment = verdict(facts(**changes), LIMITS, NOW)
    expected = (Verdict.HEALTHY, "ready") if is_healthy else (Verdict.DISCONNECTED, "link_stale")
    assert (assessment.verdict, assessment.reason) == expected


@pytest.mark.parametrize(("state", "limit_s"), [(SessionState.STARTING, 180), (SessionState.SYNCING, 900)])
def test_coming_up_ends_at_its_deadline(state: SessionState, limit_s: float) -> None:
    assert verdict(facts(state, since=ago(limit_s)), LIMITS, NOW).verdict is Verdict.DEGRADED
    overdue = verdict(facts(state, since=ago(limit_s + 1)), LIMITS, NOW)
    assert (overdue.verdict, overdue.reason) == (Verdict.PAGE_HUNG, f"stuck_in_{state}")


@pytest.mark.parametrize("reason", ["site_unreachable", "store_unavailable", "disk_trouble"])
def test_what_the_agent_retries_is_nothing_a_restart_would_cure(reason: str) -> None:
    assert reason in RETRIED_BY_AGENT
    assessment = verdict(facts(SessionState.STARTING, since=ago(7200), reason=reason), LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (Verdict.DEGRADED, reason)


@pytest.mark.parametrize("reason", ["store_refused", "wrong_key", "newer_browser", "bad_archive"])
def test_a_session_that_cannot_be_restored_is_left_to_a_person(reason: str) -> None:
    assert reason in LEFT_TO_A_PERSON
    assessment = verdict(facts(SessionState.STARTING, since=ago(7200), reason=reason), LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (Verdict.WAITING_FOR_PERSON, reason)


def test_while_the_browser_starts_its_silence_is_no_fault() -> None:
    silent = facts(SessionState.STARTING, browser_seen_at=None, page_seen_at=None)
    assert verdict(silent, LIMITS, NOW).verdict is Verdict.DEGRADED


@given(
    state=st.sampled_from(SessionState),
    page_age=st.floats(0, 100),
    browser_age=st.floats(0, 100),
    frame_age=st.none() | st.floats(0, 400),
    authenticated=st.none() | st.booleans(),
)
def test_healthy_means_ready_and_heard(
    state: SessionState, page_age: float, browser_age: float, frame_age: float | None, authenticated: bool | None
) -> None:
    seen = facts(
        state,
        page_seen_at=ago(page_age),
        browser_seen_at=ago(browser_age),
        frame_seen_at=None if frame_age is None else ago(frame_age),
        authenticated=authenticated,
    )
    if verdict(seen, LIMITS, NOW).verdict is Verdict.HEALTHY:
        assert state is SessionState.READY
        assert page_age <= LIMITS.page_silence_s
        assert browser_age <= LIMITS.browser_silence_s
        assert frame_age is None or frame_age <= LIMITS.link_silence_s
        assert authenticated is not False
