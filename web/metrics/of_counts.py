"""What Redis holds: the stream, who reads it, files, sends, queues, the lease; and the memory of our own processes."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from whatsapp_contract.status import Status

from .counting import Counts
from .families import counter, gauge, gauges

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def metrics(status: Status | None, counts: Counts | None, memory: Mapping[str, int]) -> Iterator["Metric"]:
    """Also while Redis is away (`counts` is None)."""
    yield gauge("redis_up", "Whether Redis answers.", float(counts is not None))
    yield gauges("process_memory_bytes", "Of our own processes; the browser's are apart.", "process", memory)
    if counts is None:
        return
    yield from _of_lease(status, counts)
    yield counter("events", "Events of the session.", counts.events)
    yield counter("agent_starts", "Starts of the agent.", counts.agent_starts)
    yield gauge("stream_events", "Events that the stream holds.", counts.stream)
    pending = {name: float(given) for name, given, _waiting in counts.groups}
    behind = {name: float(waiting) for name, _given, waiting in counts.groups if waiting is not None}
    yield gauges("group_pending_events", "Given to a consumer group and not acknowledged.", "group", pending)
    yield gauges("group_behind_events", "Not given to a consumer group yet.", "group", behind)
    yield gauges("media_files", "Files in the ledger.", "status", counts.media)
    yield gauges("queue_tasks", "Tasks that wait.", "queue", counts.queues)
    yield gauge("sends_open", "Sends that have no end yet.", counts.sends_open)
    yield gauge("sends_stopped", "Whether nothing is sent.", float(counts.sends_stopped))
    yield gauge("incidents_kept", "Incidents that are remembered, a thousand at most.", counts.incidents)


def _of_lease(status: Status | None, counts: Counts) -> Iterator["Metric"]:
    """Whose session it is. The holder is no label: a new name with each new container would be a new series."""
    who = {"session": counts.session, "container": counts.instance}
    yield gauge("session_info", "Which session this container is a part of.", 1.0, who)
    yield gauge("lease_epoch", "The fencing token of whoever holds the session.", counts.epoch)
    holds = status is not None and status.instance == counts.instance
    yield gauge("lease_held", "Whether the agent that spoke last is this container's.", float(holds))
