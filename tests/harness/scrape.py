"""A scrape in which everything that can be known is known, and what it tells."""

from datetime import UTC, datetime, timedelta
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from web import metrics
from whatsapp_contract.counters import read_check_counts, read_event_counts
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status
from whatsapp_contract.webhooks import WebhookState

TARGET_LABELS = ("job", "instance")  # Prometheus' own
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
STATUS = Status(
    session_id="s1",
    instance="i1",
    pid=7,
    epoch=3,
    started_at=NOW - timedelta(hours=1),
    heartbeat_at=NOW - timedelta(seconds=2),
    state=SessionState.READY,
    since=NOW - timedelta(minutes=10),
    verdict=Verdict.HEALTHY,
    verdict_reason="ready",
    browser_seen_at=NOW,
    page_seen_at=NOW - timedelta(seconds=4),
    page_took_ms=12.5,
    frame_seen_at=NOW - timedelta(seconds=8),
    memory_bytes=200_000_000,
    browser_version="156",
)
FULL_STATUS = STATUS.model_copy(
    update={
        "message_event_at": NOW,
        "memory_limit_bytes": 300_000_000,
        "loop_lag_ms": 1.5,
        "session_saved_at": NOW,
        "session_bytes": 5_000_000,
        "session_save_took_ms": 900.0,
        "session_stood_still_ms": 30.0,
    }
)
FULL_COUNTS = metrics.Counts(
    events=1,
    agent_starts=1,
    stream=1,
    groups=(("photos", 1, 1),),
    media={"due": 1, "failed": 1, "stored": 1},
    sends_open=1,
    sends_stopped=True,
    queues={"checks": 1, "sends": 1},
    incidents=0,
    session="s1",
    instance="i1",
    epoch=3,
    webhooks=(
        WebhookState(
            id="0123456789ab",
            host="backend.example",
            seen_at=NOW,
            delivered=1,
            failures=1,
            dead=1,
            lost=0,
            succeeded_at=NOW,
            failing_since=NOW,
            failed_at=NOW,
            error="503",
            behind=1,
        ),
    ),
    checks=read_check_counts({"checks:healthy": "1", "took:5": "1", "took_us": "4000"}),
    told=read_event_counts({"alert:rung_failed": "1"}),
)


def families() -> list[Any]:
    """As Prometheus reads them: `name`, `type`, `documentation`, `samples`."""
    text = metrics.exposition(FULL_STATUS, FULL_COUNTS, NOW, {"web": 1})
    return list(text_string_to_metric_families(text.decode()))


def label_values() -> dict[str, dict[str, set[str]]]:
    """For each sample's name its labels, and for each of these what it is seen to be."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in families():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def selectors(expression: str) -> list[tuple[str, dict[str, str]]]:
    """Each metric that an expression asks for, with its matchers. Raises ValueError where Prometheus would not take
    it."""
    found: list[tuple[str, dict[str, str]]] = []

    def note(part: Any) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            found.append((part.name or "", {one.name: one.value for one in part.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), note)
    return found


def unknown(expression: str) -> list[str]:
    """What of an expression's metrics, labels and their values no scrape tells."""
    known, wrong = label_values(), []
    for name, matchers in selectors(expression):
        labels = known.get(name)
        if labels is None:
            wrong.append(name)
            continue
        for label, value in matchers.items():
            if label not in TARGET_LABELS and not set(value.split("|")) <= labels.get(label, set()):
                wrong.append(f"{name}{{{label}={value}}}")
    return wrong
