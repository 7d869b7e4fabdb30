"""The verdict over facts: healthy needs everything at once, and what needs a person is never bad."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_contract.health import (
    LEFT_TO_A_PERSON,
    RETRIED_BY_AGENT,
    Facts,
    Limits,
    Verdict,
    is_overdue,
    stuck_fact,
    verdict,
)
from whatsapp_contract.states import SessionState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def facts(state: SessionState = SessionState.READY, **changes: Any) -> Facts:
    known: dict[str, Any] = {
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


@pytest.mark.parametrize(
    ("heard_at", "socket", "expected"),
    [
        (None, "UNLAUNCHED", Verdict.PAGE_HUNG),  # a boot that never ends
        (ago(181), None, Verdict.PAGE_HUNG),
        (ago(10), "OPENING", Verdict.DEGRADED),
        (None, "CONNECTED", Verdict.DEGRADED),  # its frames cannot be seen: unknown, not dead
    ],
)
def test_a_page_that_is_not_connected_and_hears_nothing_does_not_sync(
    heard_at: datetime | None, socket: str | None, expected: Verdict
) -> None:
    seen = facts(SessionState.SYNCING, since=ago(181), frame_seen_at=heard_at, socket_state=socket)
    assert verdict(seen, LIMITS, NOW).verdict is expected


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


def test_a_message_that_was_not_told_makes_a_ready_page_deaf_after_its_time() -> None:
    assert verdict(facts(unheard_since=ago(10)), LIMITS, NOW).verdict is Verdict.HEALTHY
    deaf = verdict(facts(unheard_since=ago(11)), LIMITS, NOW)
    assert (deaf.verdict, deaf.reason, deaf.since) == (Verdict.DEAF, "message_unheard", ago(11))
    link = verdict(facts(unheard_since=ago(11), frame_seen_at=ago(500)), LIMITS, NOW)
    assert link.verdict is Verdict.DISCONNECTED  # first the link: a new connection is cheaper than a new page


def test_an_agent_that_did_not_listen_does_not_blame_who_was_silent() -> None:
    silent: dict[str, Any] = {"page_seen_at": ago(300), "browser_seen_at": ago(300), "frame_seen_at": ago(300)}
    slow = verdict(facts(loop_lag_ms=300_000, **silent), LIMITS, NOW)
    assert (slow.verdict, slow.reason) == (Verdict.DEGRADED, "agent_slow")
    assert verdict(facts(loop_lag_ms=5000, **silent), LIMITS, NOW).verdict is Verdict.BROWSER_GONE


@pytest.mark.parametrize("state", [SessionState.STARTING, SessionState.SYNCING, SessionState.DISCONNECTED])
def test_no_state_is_the_page_s_fault_while_the_site_is_silent(state: SessionState) -> None:
    assessment = verdict(facts(state, since=ago(7200), site_silent_since=ago(7000)), LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (Verdict.DISCONNECTED, "site_silent")


@pytest.mark.parametrize("state", [SessionState.STARTING, SessionState.SYNCING, SessionState.DISCONNECTED])
def test_a_browser_that_alone_does_not_reach_the_site_is_restarted(state: SessionState) -> None:
    seen = facts(state, since=ago(60), browser_offline_since=ago(31))
    assessment = verdict(seen, LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (Verdict.BROWSER_GONE, "browser_offline")
    assert assessment.since == ago(31)


@pytest.mark.parametrize(
    ("offline_s", "expected"),
    [
        (None, (Verdict.DEGRADED, "site_unreachable")),
        (30, (Verdict.DEGRADED, "site_unreachable")),  # the browser tries again within that time
        (31, (Verdict.BROWSER_GONE, "browser_offline")),
    ],
)
def test_a_site_that_only_the_browser_cannot_load_is_the_browser_s_fault_after_another_try(
    offline_s: float | None, expected: tuple[Verdict, str]
) -> None:
    since = None if offline_s is None else ago(offline_s)
    seen = facts(SessionState.STARTING, since=ago(300), reason="site_unreachable", browser_offline_since=since)
    assessment = verdict(seen, LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == expected


@pytest.mark.parametrize("state", [SessionState.STARTING, SessionState.SYNCING])
def test_a_page_that_loads_itself_anew_again_and_again_is_stuck(state: SessionState) -> None:
    idle: dict[str, Any] = {"since": ago(20), "frame_seen_at": ago(400)}
    assert verdict(facts(state, coming_up_since=ago(360), **idle), LIMITS, NOW).verdict is Verdict.DEGRADED
    assert verdict(facts(state, coming_up_since=ago(361), **idle), LIMITS, NOW).verdict is Verdict.PAGE_HUNG
    fresh: dict[str, Any] = {"since": ago(20), "socket_state": "CONNECTED"}
    assert verdict(facts(state, coming_up_since=ago(1200), **fresh), LIMITS, NOW).verdict is Verdict.DEGRADED
    stuck = facts(state, coming_up_since=ago(1201), **fresh)
    assessment = verdict(stuck, LIMITS, NOW)
    assert (assessment.verdict, assessment.reason) == (Verdict.PAGE_HUNG, f"stuck_in_{state}")
    assert is_overdue(stuck, LIMITS, NOW)
    assert not is_overdue(stuck.model_copy(update={"state": SessionState.READY}), LIMITS, NOW)


@pytest.mark.parametrize("state", [SessionState.STARTING, SessionState.SYNCING, SessionState.DISCONNECTED])
def test_time_in_which_the_agent_did_not_run_is_of_no_deadline(state: SessionState) -> None:
    slept = facts(state, since=ago(1300), timed_since=ago(10), coming_up_since=ago(10))
    assert verdict(slept, LIMITS, NOW).reason != f"stuck_in_{state}"
    assert not is_overdue(slept, LIMITS, NOW)
    just_woken = facts(state, since=ago(1300), loop_lag_ms=300_000)
    assert verdict(just_woken, LIMITS, NOW).reason == "agent_slow"
    assert not is_overdue(just_woken, LIMITS, NOW)
    assert is_overdue(facts(state, since=ago(1300)), LIMITS, NOW)


# -- properties ------------------------------------------------------------------------------------------------------

ages = st.floats(0, 10_000)
known_ages = st.none() | ages
AGEING = (
    "browser_seen_at",
    "page_seen_at",
    "frame_seen_at",
    "link_answered_at",
    "unheard_since",
)
REASONS = st.none() | st.sampled_from(sorted(RETRIED_BY_AGENT | LEFT_TO_A_PERSON))
FOR_A_PERSON = (SessionState.AWAITING_SCAN, SessionState.LOGGED_OUT, SessionState.CONFLICT)
# What a rung is taken for, sooner or later; a worse fact may not lead back from there to health.
BAD = frozenset({Verdict.DISCONNECTED, Verdict.DEAF, Verdict.PAGE_HUNG, Verdict.BROWSER_GONE})


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    times = {name: None if (age := draw(known_ages)) is None else ago(age) for name in AGEING}
    return facts(
        draw(st.sampled_from(SessionState)),
        **times,
        since=ago(draw(ages)),
        reason=draw(REASONS),
        link_asked_after_s=draw(st.none() | st.floats(1, 600)),
        authenticated=draw(st.none() | st.booleans()),
        site_silent_since=None if (age := draw(known_ages)) is None else ago(age),
        browser_offline_since=None if (age := draw(known_ages)) is None else ago(age),
        coming_up_since=None if (age := draw(known_ages)) is None else ago(age),
        loop_lag_ms=draw(st.none() | st.floats(0, 20_000)),
        online=draw(st.none() | st.booleans()),
        injected=draw(st.none() | st.booleans()),
    )


@given(any_facts())
def test_healthy_needs_every_hard_fact(seen: Facts) -> None:
    if verdict(seen, LIMITS, NOW).verdict is not Verdict.HEALTHY:
        return

    def age_s(moment: datetime | None) -> float:
        assert moment is not None
        return (NOW - moment).total_seconds()

    assert seen.state is SessionState.READY
    assert age_s(seen.page_seen_at) <= LIMITS.page_silence_s
    assert age_s(seen.browser_seen_at) <= LIMITS.browser_silence_s
    assert seen.authenticated is not False
    assert seen.unheard_since is None or age_s(seen.unheard_since) <= LIMITS.unheard_s
    assert seen.loop_lag_ms is None or seen.loop_lag_ms <= LIMITS.loop_lag_s * 1000
    heard = [age_s(moment) for moment in (seen.frame_seen_at, seen.link_answered_at) if moment is not None]
    assert not heard or min(heard) <= max(LIMITS.link_silence_s, 2 * (seen.link_asked_after_s or 0) + 10)


@given(any_facts(), st.sampled_from(FOR_A_PERSON))
def test_what_needs_a_person_is_never_bad_while_browser_and_page_are_heard(seen: Facts, state: SessionState) -> None:
    waiting = seen.model_copy(update={"state": state, "browser_seen_at": ago(1), "page_seen_at": ago(1)})
    assert verdict(waiting, LIMITS, NOW).verdict in (Verdict.WAITING_FOR_PERSON, Verdict.DEGRADED)
    held = seen.model_copy(update={"held_until": NOW + timedelta(seconds=1)})
    assert verdict(held, LIMITS, NOW).verdict is Verdict.WAITING_FOR_PERSON
    left = seen.model_copy(update={"state": SessionState.STARTING, "reason": "wrong_key"})
    assert verdict(left, LIMITS, NOW).verdict is Verdict.WAITING_FOR_PERSON


@given(any_facts(), ages)
def test_facts_that_age_never_get_better(seen: Facts, later_s: float) -> None:
    now = verdict(seen, LIMITS, NOW).verdict
    later = verdict(seen, LIMITS, NOW + timedelta(seconds=later_s)).verdict
    if now is not Verdict.HEALTHY:
        assert later is not Verdict.HEALTHY
    if now in BAD:
        assert later in BAD


@given(any_facts(), st.sampled_from(AGEING), ages)
def test_one_fact_that_is_older_never_makes_it_better(seen: Facts, name: str, older_s: float) -> None:
    moment = getattr(seen, name)
    if moment is None:
        return
    older = seen.model_copy(update={name: moment - timedelta(seconds=older_s)})
    if verdict(older, LIMITS, NOW).verdict is Verdict.HEALTHY:
        assert verdict(seen, LIMITS, NOW).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    "name",
    [
        "frame_seen_at",
        "link_answered_at",
        "unheard_since",
        "loop_lag_ms",
        "authenticated",
        "online",
        "site_answered_at",
        "memory_bytes",
        "injected",
        "message_event_at",
    ],
)
def test_what_is_unknown_is_not_dead(name: str) -> None:
    unknown: dict[str, Any] = {name: None}
    assert verdict(facts(**unknown), LIMITS, NOW).verdict is Verdict.HEALTHY


# -- the stuck fact --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        (SessionState.CONFLICT, {}, "open in another WhatsApp Web"),
        (SessionState.STARTING, {"reason": "site_unreachable", "page_seen_at": None}, "site does not answer"),
        (SessionState.DISCONNECTED, {"site_silent_since": ago(60)}, "site does not answer"),
        (SessionState.DISCONNECTED, {"browser_offline_since": ago(60)}, "which this container does"),
        (SessionState.DISCONNECTED, {"online": False}, "no network"),
        (SessionState.STARTING, {"page_seen_at": None}, "page does not answer"),
        (SessionState.STARTING, {"injected": False}, "wa-js has not found"),
        (SessionState.STARTING, {"injected": True, "broken_calls": ("send_text",)}, "do not work: send_text"),
        (
            SessionState.SYNCING,
            {"injected": True, "authenticated": True, "stream_mode": "MAIN", "stream_info": "SYNCING"},
            "authenticated, never ready: the page stands at MAIN/SYNCING",
        ),
    ],
)
def test_the_fact_that_a_state_is_stuck_in_is_named(
    state: SessionState, changes: dict[str, Any], expected: str
) -> None:
    assert expected in stuck_fact(facts(state, **changes), LIMITS, NOW)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (("groups", "messages_in"), (Verdict.BLOCKED, "calls_broken")),
        (("groups", "send_media"), (Verdict.HEALTHY, "ready")),
    ],
)
def test_a_build_without_what_messages_need_is_for_a_person_to_mend(
    broken: tuple[str, ...], expected: tuple[Verdict, str]
) -> None:
    found = verdict(facts(broken_calls=broken), Limits(), NOW)
    assert (found.verdict, found.reason) == expected
