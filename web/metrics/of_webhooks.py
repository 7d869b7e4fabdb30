"""Webhooks, as whoever delivers to them has told. By id and host: an address has secrets in it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from whatsapp_contract.webhooks import WebhookState

from .families import Labels, counters, gauges_by

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_LABELS: Labels = ("webhook", "host")


def metrics(webhooks: Iterable[WebhookState], now: datetime) -> Iterator["Metric"]:
    """Without samples where there are none."""
    known: dict[Labels, WebhookState] = {(one.id, one.host): one for one in webhooks}
    delivered = {labels: float(one.delivered) for labels, one in known.items()}
    failures = {labels: float(one.failures) for labels, one in known.items()}
    dead = {labels: float(one.dead) for labels, one in known.items()}
    failing_s = {labels: _age_s(one.failing_since, now) or 0.0 for labels, one in known.items()}
    seen_s = {labels: age_s for labels, one in known.items() if (age_s := _age_s(one.seen_at, now)) is not None}
    yield counters("webhook_delivered", "Events that it has taken.", _LABELS, delivered)
    yield counters("webhook_failures", "Tries that failed.", _LABELS, failures)
    yield gauges_by("webhook_dead_letters", "Events that were given up, now.", _LABELS, dead)
    yield gauges_by("webhook_failing_seconds", "For how long nothing gets through.", _LABELS, failing_s)
    yield gauges_by("webhook_seen_age_seconds", "Since whoever delivers was last seen.", _LABELS, seen_s)


def _age_s(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()
