"""What was counted over time, and survives whoever counts it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from whatsapp_contract import counters as names
from whatsapp_contract.counters import CheckCounts, EventCounts
from whatsapp_contract.events import EventType
from whatsapp_contract.health import Verdict

from .families import Labels, counter, counters, histogram, with_zeros

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_FAULTS = [verdict.value for verdict in Verdict if verdict not in (Verdict.HEALTHY, Verdict.DEGRADED)]


def of_checks(counts: CheckCounts) -> Iterator["Metric"]:
    """The watchdog's counters."""
    outcomes = [*(verdict.value for verdict in Verdict), names.INTERRUPTED, names.OVERLAPPED]
    yield counters("checks", "Health checks, by what they saw.", ("outcome",), with_zeros(outcomes, counts.checks))
    buckets_s = [(bound_ms / 1000, count) for bound_ms, count in counts.took]
    yield histogram("check_duration_seconds", "Round trip of an answered check.", buckets_s, counts.took_s)
    yield counter("ticks_taken", "Checks of the scheduler that the worker took.", counts.ticks.get(names.TAKEN, 0))
    yield counter("ticks_late", "Those of them that were taken after two seconds.", counts.ticks.get(names.LATE, 0))
    yield counter("ticks_missed", "Checks that were due and never taken.", counts.ticks.get(names.MISSED, 0))
    known: dict[Labels, int] = {(rung, how): 0 for rung in names.RUNGS for how in (names.DONE, names.FAILED)}
    del known["hold", names.FAILED]  # it is no more than waiting
    rungs: dict[Labels, float] = {**known, **counts.rungs}
    yield counters("rungs", "Steps of recovery that were taken.", ("rung", "outcome"), rungs)
    incidents = with_zeros(_FAULTS, counts.incidents)
    yield counters("incidents", "Incidents, by the verdict that they began with.", ("verdict",), incidents)
    resets = with_zeros(names.RESET_OUTCOMES, counts.resets)
    yield counters("scheduled_resets", "Resets by the clock, by how they ended.", ("outcome",), resets)


def of_events(told: EventCounts) -> Iterator["Metric"]:
    """Messages in and out, files, and all other events by type."""
    by_type = {event_type.value: told.of(event_type) for event_type in EventType}
    yield counters("events_by_type", "Events, by type.", ("type",), with_zeros([], by_type))
    came = {source: told.of(EventType.MESSAGE, source) for source in (names.LIVE, names.BACKFILL)}
    yield counters("messages_in", "Messages of others that were told.", ("source",), with_zeros([], came))
    own = told.of(EventType.MESSAGE, names.OWN)
    yield counter("messages_own", "Messages of the account itself that were told.", own)
    ended = {ack: told.of(EventType.MESSAGE_ACK, ack) for ack in ("sent", "failed")}
    yield counters("sends_ended", "Sends that went out, or were given up.", ("outcome",), with_zeros([], ended))
    receipts = {ack: told.of(EventType.MESSAGE_ACK, ack) for ack in ("delivered", "read", "played")}
    what = "Receipts of what was sent; in groups one for each person."
    yield counters("receipts", what, ("ack",), with_zeros([], receipts))
    files = {status: told.of(EventType.MEDIA, status) for status in ("stored", "failed")}
    yield counters("media_ended", "Files that were stored, or given up.", ("status",), with_zeros([], files))
    restarts = with_zeros(("browser", "agent"), told.kinds(EventType.RESTARTED))
    yield counters("restarts", "Restarts that were told, whoever made them.", ("what",), restarts)
    alerts = with_zeros([], told.kinds(EventType.ALERT))
    yield counters("alerts", "Alerts, by code.", ("code",), alerts)
