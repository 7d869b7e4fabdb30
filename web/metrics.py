"""What Prometheus is told: read off Redis at each scrape, so that it goes on while the agent is down."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from whatsapp_contract.health import Limits, Verdict, verdict
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

if TYPE_CHECKING:
    import redis.asyncio
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Counts:
    """What is not in the status."""

    events: int
    agent_starts: int
    stream: int
    groups: tuple[tuple[str, int, int | None], ...]  # name, given and not acknowledged, not given yet (null: unknown)
    media: dict[str, int]
    sends_open: int
    sends_stopped: bool
    queues: dict[str, int]
    incidents: int


async def counted(redis: "redis.asyncio.Redis", names: SessionNames, instance: InstanceNames) -> Counts:
    """Raises redis' own errors."""
    async with redis.pipeline(transaction=False) as asked:
        asked.get(names.sequence)
        asked.hget(names.fence, "lives")
        asked.xlen(names.events)
        for key in (names.media_due, names.media_failed, names.media_stored, names.sends_open, names.send_queue_due):
            asked.zcard(key)
        asked.hget(names.sending, "stopped")
        asked.llen(instance.queue_list)
        asked.llen(names.send_queue)
        asked.zcard(names.incidents_order)
        (
            events,
            lives,
            stream,
            due,
            failed,
            stored,
            is_open,
            later,
            stopped,
            checks,
            sends,
            incidents,
        ) = await asked.execute()
    return Counts(
        events=int(events or 0),
        agent_starts=int(lives or 0),
        stream=stream,
        groups=await _groups(redis, names.events),
        media={"due": due, "failed": failed, "stored": stored},
        sends_open=is_open,
        sends_stopped=stopped is not None,
        queues={"checks": checks, "sends": sends + later},
        incidents=incidents,
    )


def exposition(status: Status | None, counts: Counts | None, now: datetime) -> bytes:
    """The text of a scrape. Without a status no agent has ever spoken; without counts Redis is away."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Once([*_of_status(status, now), *_of_counts(counts)]))
    return generate_latest(registry)


class _Once:
    """A collector of what was made already."""

    def __init__(self, metrics: list["Metric"]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable["Metric"]:
        return self._metrics


def _of_status(status: Status | None, now: datetime) -> Iterator["Metric"]:
    if status is None:
        return
    assessment = verdict(status.facts, Limits(), now)
    yield _one_of("state", "The session's state.", status.state.value, [state.value for state in SessionState])
    yield _one_of("verdict", "What the facts amount to now.", assessment.verdict.value, [one.value for one in Verdict])
    yield _gauge("ready", "Whether messages can flow.", float(assessment.verdict is Verdict.HEALTHY))
    yield _gauge("state_age_seconds", "For how long it has been in its state.", _age_s(status.since, now))
    yield _gauge("heartbeat_age_seconds", "Since the agent's last sign of life.", status.age_s(now))
    yield _gauge("page_age_seconds", "Since the page's last answer.", _age_s(status.page_seen_at, now))
    yield _gauge("page_answer_seconds", "How long that took.", _per_1000(status.page_took_ms))
    yield _gauge(
        "server_age_seconds", "Since the last frame from WhatsApp's server.", _age_s(status.frame_seen_at, now)
    )
    yield _gauge("message_age_seconds", "Since the last message event.", _age_s(status.message_event_at, now))
    yield _gauge("browser_memory_bytes", "Of the browser's process tree.", status.memory_bytes)
    yield _gauge("browser_memory_limit_bytes", "Above which it is relieved.", status.memory_limit_bytes)
    yield _gauge("event_loop_lag_seconds", "The agent's, the worst of ten seconds.", _per_1000(status.loop_lag_ms))
    yield _gauge("snapshot_age_seconds", "Since the session was last saved.", _age_s(status.session_saved_at, now))
    yield _gauge("snapshot_bytes", "The session as stored.", status.session_bytes)
    yield _gauge(
        "session_trouble", "Whether it cannot be saved or restored.", float(status.session_problem is not None)
    )
    yield _counter("refused_commands", "Commands with nobody to tell what is wrong.", status.refused_commands)
    yield _counter("dropped_events", "Events that did not fit while Redis was away.", status.dropped_events)
    versions = {
        "service": status.service_version or "",
        "browser": status.browser_version or "",
        "wa_js": status.wa_js_version or "",
        "whatsapp_web": status.whatsapp_web_version or "",
    }
    yield _gauge("build_info", "What it is made of.", 1.0, versions)


def _of_counts(counts: Counts | None) -> Iterator["Metric"]:
    yield _gauge("redis_up", "Whether Redis answers.", float(counts is not None))
    if counts is None:
        return
    yield _counter("events", "Events of the session.", counts.events)
    yield _counter("agent_starts", "Starts of the agent.", counts.agent_starts)
    yield _gauge("stream_events", "Events that the stream holds.", counts.stream)
    pending = _family("group_pending_events", "Given to a consumer group and not acknowledged.", ["group"])
    behind = _family("group_behind_events", "Not given to a consumer group yet.", ["group"])
    for name, given, waiting in counts.groups:
        pending.add_metric([name], given)
        if waiting is not None:
            behind.add_metric([name], waiting)
    yield from (pending, behind)
    media = _family("media_files", "Files in the ledger.", ["status"])
    queues = _family("queue_tasks", "Tasks that wait.", ["queue"])
    for family, sizes in ((media, counts.media), (queues, counts.queues)):
        for label, size in sizes.items():
            family.add_metric([label], size)
    yield from (media, queues)
    yield _gauge("sends_open", "Sends that have no end yet.", counts.sends_open)
    yield _gauge("sends_stopped", "Whether nothing is sent.", float(counts.sends_stopped))
    yield _gauge("incidents_kept", "Incidents that are remembered, a thousand at most.", counts.incidents)


async def _groups(redis: "redis.asyncio.Redis", stream: str) -> tuple[tuple[str, int, int | None], ...]:
    try:
        groups: Any = await redis.xinfo_groups(stream)
    except ResponseError:  # there is no stream yet
        return ()
    return tuple((group["name"], int(group["pending"]), group.get("lag")) for group in groups)


def _family(name: str, what: str, labels: list[str]) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"whatsapp_{name}", what, labels=labels)


def _gauge(name: str, what: str, value: float | None, labels: dict[str, str] | None = None) -> "Metric":
    """Without a sample where the value is not known: a time that never was is not one long ago."""
    family = _family(name, what, list(labels or {}))
    if value is not None:
        family.add_metric(list((labels or {}).values()), value)
    return family  # type: ignore[no-any-return]


def _counter(name: str, what: str, value: float) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"whatsapp_{name}", what, value=value)


def _one_of(name: str, what: str, is_now: str, all_of_them: Iterable[str]) -> "Metric":
    family = _family(name, what, [name])
    for one in all_of_them:
        family.add_metric([one], float(one == is_now))
    return family  # type: ignore[no-any-return]


def _age_s(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()


def _per_1000(value: float | None) -> float | None:
    return None if value is None else value / 1000
