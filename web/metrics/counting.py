"""What is not in the status, as Redis has it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from whatsapp_contract.counters import CheckCounts, EventCounts, read_check_counts, read_event_counts
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.reading import carry_out_async
from whatsapp_contract.webhooks import WebhookState, states

if TYPE_CHECKING:
    import redis.asyncio


@dataclass(frozen=True)
class Counts:
    """`told` are the events since they are counted by type, `events` all that the session ever had."""

    events: int
    agent_starts: int
    stream: int
    groups: tuple[tuple[str, int, int | None], ...]  # name, given and not acknowledged, not given yet (null: unknown)
    media: dict[str, int]
    sends_open: int
    sends_stopped: bool
    queues: dict[str, int]
    incidents: int
    session: str = ""
    instance: str = ""
    epoch: int = 0  # of whoever holds the session
    webhooks: tuple[WebhookState, ...] = ()
    checks: CheckCounts = field(default_factory=lambda: read_check_counts({}))
    told: EventCounts = field(default_factory=EventCounts)


async def counted(redis: "redis.asyncio.Redis", names: SessionNames, instance: InstanceNames) -> Counts:
    """Raises redis' own errors."""
    async with redis.pipeline(transaction=False) as asked:
        asked.get(names.sequence)
        asked.hmget(names.fence, "lives", "epoch")
        asked.xlen(names.events)
        for key in (names.media_due, names.media_failed, names.media_stored, names.sends_open, names.send_queue_due):
            asked.zcard(key)
        asked.hget(names.sending, "stopped")
        asked.llen(instance.queue_list)
        asked.llen(names.send_queue)
        asked.zcard(names.incidents_order)
        asked.hgetall(names.check_counts)
        asked.hgetall(names.event_counts)
        (
            events,
            (lives, epoch),
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
            check_counts,
            event_counts,
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
        session=names.session_id,
        instance=instance.instance_id,
        epoch=int(epoch or 0),
        webhooks=tuple(await carry_out_async(redis, states(names))),
        checks=read_check_counts(check_counts),
        told=read_event_counts(event_counts),
    )


async def _groups(redis: "redis.asyncio.Redis", stream: str) -> tuple[tuple[str, int, int | None], ...]:
    try:
        groups: Any = await redis.xinfo_groups(stream)
    except ResponseError:  # there is no stream yet
        return ()
    return tuple((group["name"], int(group["pending"]), group.get("lag")) for group in groups)
