"""Webhooks, what becomes of one try: on fakeredis, and with an answer of the test's."""

import time
from typing import Any

import fakeredis
import pytest
import structlog.testing

from tests.harness.webhook_bench import NAMES
from webhooks.delivery import Delivery
from webhooks.hook import Hook
from webhooks.lanes import Job
from webhooks.lease import Lease
from webhooks.outcome import Verdict
from webhooks.posting import Poster

HOOK = Hook("https://hooks.example/t0ken", frozenset({"alert"}), frozenset())


def delivery() -> Delivery:
    return Delivery(fakeredis.FakeStrictRedis(decode_responses=True), NAMES, HOOK, "i1")


def test_what_nobody_thought_of_counts_as_no_answer_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise LookupError

    monkeypatch.setattr(Poster, "post", fails)
    one = delivery()
    poster = Poster(HOOK.url, frozenset())
    with structlog.testing.capture_logs() as told:
        outcomes = [one._try(poster, Job(key, key, "", b"{}")) for key in ("1-1", "1-2")]
    assert {(outcome.verdict, outcome.error) for outcome in outcomes} == {
        (Verdict.AWAY, "it cannot be posted (LookupError)")
    }
    (line,) = told
    assert line["event"] == "a post fails in a way that was not foreseen"
    assert line["exc_info"]


def test_a_lease_runs_out_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which stops the monotonic clock, and not Redis."""
    slept_s = 0.0
    real = time.clock_gettime
    monkeypatch.setattr(
        time, "clock_gettime", lambda clock: real(clock) + (slept_s if clock == time.CLOCK_BOOTTIME else 0.0)
    )
    lease = Lease(fakeredis.FakeStrictRedis(decode_responses=True), NAMES, HOOK, "i1", lambda: None)
    lease.renew()
    assert lease.is_held()
    slept_s = 60.0
    assert not lease.is_held()
