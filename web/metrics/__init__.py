"""What Prometheus is told: read off Redis at each scrape, so that it goes on while the agent is down. docs/metrics.md
has each metric."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from whatsapp_contract.status import Status

from .counting import Counts, counted

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["CONTENT_TYPE", "Counts", "counted", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_MEMORY: Mapping[str, int] = {}


def exposition(
    status: Status | None, counts: Counts | None, now: datetime, memory: Mapping[str, int] = NO_MEMORY
) -> bytes:
    """The text of a scrape. Without a status no agent has ever spoken; without counts Redis is away. `memory` is what
    our own processes take, in bytes, by name."""
    from prometheus_client import CollectorRegistry, generate_latest

    from . import of_counters, of_counts, of_status, of_webhooks

    registry = CollectorRegistry()
    told = [*of_status.metrics(status, now), *of_counts.metrics(status, counts, memory)]
    if counts is not None:
        told += [*of_counters.of_checks(counts.checks), *of_counters.of_events(counts.told)]
        told += of_webhooks.metrics(counts.webhooks, now)
    registry.register(_Once(told))
    return generate_latest(registry)


class _Once:
    """A collector of what was made already."""

    def __init__(self, metrics: list["Metric"]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable["Metric"]:
        return self._metrics
