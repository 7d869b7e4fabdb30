"""Metrics in our prefix, made at once with their samples."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Labels = tuple[str, ...]


def gauge(name: str, what: str, value: float | None, labels: Mapping[str, str] | None = None) -> "Metric":
    """Without a sample where the value is not known: a time that never was is not one long ago."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"whatsapp_{name}", what, labels=list(labels or {}))
    if value is not None:
        family.add_metric(list((labels or {}).values()), value)
    return family


def counter(name: str, what: str, value: float) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"whatsapp_{name}", what, value=value)


def gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> "Metric":
    """A sample for each value of a label."""
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(f"whatsapp_{name}", what, labels=[label]), {(k,): n for k, n in values.items()})


def gauges_by(name: str, what: str, labels: Labels, values: Mapping[Labels, float]) -> "Metric":
    """As gauges, by several labels."""
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(f"whatsapp_{name}", what, labels=list(labels)), values)


def counters(name: str, what: str, labels: Labels, values: Mapping[Labels, float]) -> "Metric":
    """A sample for each combination of labels."""
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(f"whatsapp_{name}", what, labels=list(labels)), values)


def histogram(name: str, what: str, buckets_s: Iterable[tuple[float, int]], sum_s: float) -> "Metric":
    """`buckets_s` are upper bounds with the number of all at or below each."""
    from prometheus_client.core import HistogramMetricFamily

    buckets = [("+Inf" if bound == float("inf") else str(bound), float(count)) for bound, count in buckets_s]
    return HistogramMetricFamily(f"whatsapp_{name}", what, buckets=buckets, sum_value=sum_s)


def one_of(name: str, what: str, is_now: str, all_of_them: Iterable[str]) -> "Metric":
    """1 for what it is, 0 for what it is not."""
    return gauges(name, what, name, {one: float(one == is_now) for one in all_of_them})


def with_zeros(known: Iterable[str], values: Mapping[str, int]) -> dict[Labels, float]:
    """Also for what never happened: a counter that begins at one shows no increase."""
    return {(name,): float(n) for name, n in {**dict.fromkeys(known, 0), **values}.items()}


def _filled(family: Any, values: Mapping[Labels, float]) -> "Metric":
    for labels, value in values.items():
        family.add_metric(list(labels), value)
    return family  # type: ignore[no-any-return]
