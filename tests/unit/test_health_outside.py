"""The verdict over what only a watcher outside the agent can see."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from whatsapp_contract.health import (
    RETRIED_BY_AGENT,
    Facts,
    Limits,
    Outside,
    Verdict,
    says_nothing_for_ever,
    verdict,
)
from whatsapp_contract.states import SessionState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits()


def facts(outside: Outside) -> Facts:
    """Those of a session that was well when it was last heard of."""
    heard = NOW - timedelta(seconds=1)
    return Facts(
        observed_at=NOW,
        state=SessionState.READY,
        since=NOW - timedelta(hours=1),
        browser_seen_at=heard,
        page_seen_at=heard,
        frame_seen_at=heard,
        outside=outside,
    )


LONG_UP: dict[str, Any] = {"program": "RUNNING", "program_running_s": 3600.0, "redis_up_s": 3600.0}


@pytest.mark.parametrize("listeners", [0, 1])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"program_running_s": 19.0}, (Verdict.DEGRADED, "agent_starting")),
        ({"program": "BACKOFF"}, (Verdict.DEGRADED, "agent_starting")),
        ({"redis_up_s": 9.0}, (Verdict.DEGRADED, "redis_settling")),
        ({"program": "STOPPED"}, (Verdict.WAITING_FOR_PERSON, "agent_stopped")),
        ({"program": "STOPPED", "start_owed": True}, (Verdict.DEGRADED, "restart_unfinished")),
        ({"start_owed": True}, None),
        ({}, None),
    ],
)
def test_an_agent_need_neither_listen_nor_answer_before_its_time(
    listeners: int, changes: dict[str, Any], expected: tuple[Verdict, str] | None
) -> None:
    outside = Outside(asked_at=NOW, listeners=listeners, **{**LONG_UP, **changes})
    found = verdict(facts(outside), LIMITS, NOW)
    bad = (Verdict.AGENT_HUNG, "no_reply") if listeners else (Verdict.AGENT_GONE, "nobody_listens")
    assert (found.verdict, found.reason) == (expected or bad)


def test_a_silent_supervisord_does_not_excuse_an_agent_that_hears_and_is_silent() -> None:
    unknown: dict[str, Any] = {"program": None, "program_running_s": None, "redis_up_s": 3600.0}
    hung = verdict(facts(Outside(asked_at=NOW, listeners=1, **unknown)), LIMITS, NOW)
    assert (hung.verdict, hung.reason) == (Verdict.AGENT_HUNG, "no_reply")
    gone = verdict(facts(Outside(asked_at=NOW, listeners=0, **unknown)), LIMITS, NOW)
    assert (gone.verdict, gone.reason) == (Verdict.DEGRADED, "supervisor_silent")


def test_a_check_that_failed_says_nothing_and_is_no_reason_that_the_agent_retries() -> None:
    for code in ("busy", "internal"):
        failed = verdict(facts(Outside(asked_at=NOW, error=code, reply_took_ms=1.0)), LIMITS, NOW)
        assert (failed.verdict, failed.reason) == (Verdict.DEGRADED, f"check_{code}")
        assert says_nothing_for_ever(failed.reason)
    assert not any(says_nothing_for_ever(reason) for reason in RETRIED_BY_AGENT)


@pytest.mark.parametrize("age", ["program_running_s", "redis_up_s"])
def test_a_clock_that_was_set_back_excuses_nobody(age: str) -> None:
    """Both ages are by wall clocks: for hours they would say that everything has just begun."""
    outside = Outside(asked_at=NOW, listeners=1, **{**LONG_UP, age: -3000.0})
    assert verdict(facts(outside), LIMITS, NOW).verdict is Verdict.AGENT_HUNG
