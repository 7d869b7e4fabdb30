"""Incidents: kept in Redis, and how one follows from what the ladder sees and does (pure)."""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from whatsapp_contract.events import Event, EventType
from whatsapp_contract.following import readable_event
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import INCIDENTS_KEPT, LEFT, Incident, RungTaken
from whatsapp_contract.kept_records import read_kept
from whatsapp_contract.names import SessionNames

from . import recovery
from .memory import Decision, Memory, Observation, Rung

if TYPE_CHECKING:
    import redis

ITSELF, PERSON = "itself", "person"
EVENTS_LOOKED_THROUGH = 1000
LOOKED_THROUGH = 20
READY_AGAIN_S = 1.0  # since when it is ready is known to about this

# Why ready was left where nobody wanted it to be left, as `disconnected` tells.
_FAULTS = {
    "link_dropped": Verdict.DISCONNECTED,
    "link_silent": Verdict.DISCONNECTED,
    "offline": Verdict.DISCONNECTED,
    "page_crashed": Verdict.PAGE_HUNG,
    "page_timeout": Verdict.PAGE_HUNG,
    "page_reloaded": Verdict.PAGE_HUNG,
    "browser_gone": Verdict.BROWSER_GONE,
}

_ENDS_OF_THE_BROWSER = frozenset({"browser_gone", "page_crashed"})

# KEYS: incidents, their order. ARGV: id, when it began (epoch seconds), the incident, how many are kept.
_KEEP_LUA = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[4]))) do
  redis.call('HDEL', KEYS[1], old)
  redis.call('ZREM', KEYS[2], old)
end
"""


class IncidentLog:
    """The session's incidents, in Redis; the latest thousand."""

    def __init__(self, redis_client: "redis.Redis", names: SessionNames) -> None:
        self._redis = redis_client
        self._names = names

    def keep(self, incident: Incident) -> None:
        """As `keep`."""
        keep(self._redis, self._names, incident)

    def get(self, incident_id: str) -> Incident | None:
        """None where it is not known, or cannot be read."""
        kept: Any = self._redis.hget(self._names.incidents, incident_id)
        return read_kept(Incident, kept)

    def last(self, count: int) -> list[Incident]:
        """The latest, oldest first, without those that cannot be read."""
        ids: Any = self._redis.zrevrange(self._names.incidents_order, 0, count - 1) if count else []
        kept: Any = self._redis.hmget(self._names.incidents, ids) if ids else []
        found = (read_kept(Incident, one) for one in reversed(kept))
        return [one for one in found if one is not None]

    def left(self, before: Memory, asked_at: datetime) -> list[Incident]:
        """Those that nobody will end any more, ended: a new watchdog knows but its own."""
        own = before.incident.id if before.incident else None
        open_ones = [one for one in self.last(LOOKED_THROUGH) if one.ended_at is None and one.id != own]
        return [one.model_copy(update={"ended_at": asked_at, "ended_as": LEFT}) for one in open_ones]

    def told_since(self, event_id: str | None) -> tuple[list[Event], str | None]:
        """The latest events after the one with that id, newest first, and the newest's id: where to go on."""
        after = f"({event_id}" if event_id else "-"
        entries: Any = self._redis.xrevrange(self._names.events, min=after, count=EVENTS_LOOKED_THROUGH)
        found = (readable_event(entry_id, fields) for entry_id, fields in entries)
        return [event for event in found if event is not None], str(entries[0][0]) if entries else event_id


def keep(redis_client: "redis.Redis", names: SessionNames, incident: Incident) -> None:
    """Write it, or over what was written of it. The client may be a pipeline."""
    keys = names.incidents, names.incidents_order
    began_at = str(incident.bad_since.timestamp())
    redis_client.eval(_KEEP_LUA, 2, *keys, incident.id, began_at, incident.model_dump_json(), str(INCIDENTS_KEPT))


def new_id(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


# Below, `asked_at` is the wall clock's time of an observation's `at`.


def opened(
    before: Memory, decision: Decision, seen: Observation, instance: str, asked_at: datetime
) -> Incident | None:
    """The incident as it is after a decision, its rung included; a new one where it leads to a rung, or has stood."""
    incident = before.incident
    first = decision.memory.trouble
    if incident is None and first is not None and (decision.rung is not None or _stood(before, seen)):
        incident = Incident(
            id=new_id(asked_at),
            instance=instance,
            verdict=first.verdict,
            reason=first.reason,
            bad_since=_wall(_bad_at(first), seen, asked_at),
            found_at=_wall(first.at, seen, asked_at),
        )
    if incident is None or decision.rung is None:
        return incident
    rung = RungTaken(rung=decision.rung.value, cause=decision.cause, at=datetime.now(UTC))
    return incident.model_copy(update={"rungs": (*incident.rungs, rung)})


def helped_by_person(incident: Incident, at: datetime) -> Incident:
    """A person restarted the agent meanwhile."""
    return incident.model_copy(update={"person_at": at})


def carried_out(incident: Incident, took_ms: float | None, error: str | None) -> Incident:
    """Its last rung is done. One that failed as the same one did just before is that one: it may go on for hours."""
    *before, rung = incident.rungs
    done = rung.model_copy(update={"took_ms": took_ms, "error": error})
    if error is not None and before and (before[-1].rung, before[-1].error) == (done.rung, error):
        return incident.model_copy(update={"rungs": tuple(before)})
    return incident.model_copy(update={"rungs": (*before, done)})


def closed(before: Memory, after: Memory, seen: Observation, asked_at: datetime) -> Incident | None:
    """The incident, where this observation ends it."""
    incident = before.incident
    if incident is None or after.attempt is not None or after.trouble is not None:
        return None
    if seen.operation is not None or seen.verdict is Verdict.DEGRADED or recovery.is_bad(seen):
        return None
    bad_at = seen.at - max(0.0, (asked_at - incident.bad_since).total_seconds())
    if before.trouble is not None:
        bad_at = _bad_at(before.trouble)  # by the clock that nobody steps
    ready_at = seen.at
    if seen.ready_since is not None and bad_at < seen.ready_since < seen.at:
        ready_at = seen.ready_since
    return incident.model_copy(
        update={
            "ended_at": _wall(ready_at, seen, asked_at),
            "cured_by": _cured_by(incident, seen),
            "ended_as": seen.verdict.value,
            "not_ready_s": round(ready_at - bad_at, 1),
        }
    )


def is_ready_anew(before: Memory, seen: Observation) -> bool:
    """Whether ready was left, and entered again, between two looks."""
    if seen.ready_since is None or before.ready_since is None or before.incident is not None:
        return False
    return seen.ready_since - before.ready_since > READY_AGAIN_S


def noted_ready(memory: Memory, seen: Observation, is_over: bool, events_read: str | None) -> Memory:
    """With since when it is ready, and up to which event that is accounted for.

    What an incident ended without, or what waits for a person, is accounted for, too: ready again is no second one.
    """
    if seen.ready_since is not None:
        return memory.model_copy(update={"ready_since": seen.ready_since, "events_read": events_read})
    if is_over or seen.verdict in (Verdict.WAITING_FOR_PERSON, Verdict.BLOCKED):
        return memory.model_copy(update={"ready_since": None})
    return memory


def cured_by_itself(
    events: Iterable[Event], before: Memory, seen: Observation, instance: str, asked_at: datetime
) -> Incident | None:
    """What the agent, or supervisord, cured alone, by what was told since ready was last entered."""
    ready_at = _wall(seen.ready_since or seen.at, seen, asked_at)
    for event in events:
        fault = _fault_of(event)
        if fault is None:
            continue
        verdict, reason = fault
        # A killed agent tells nothing of its end; it was last known to be well when somebody looked.
        bad_since = event.occurred_at
        if verdict is Verdict.AGENT_GONE and before.watched_at is not None:
            bad_since = min(bad_since, _wall(before.watched_at, seen, asked_at))
        return Incident(
            id=new_id(asked_at),
            instance=instance,
            verdict=verdict,
            reason=reason,
            bad_since=bad_since,
            found_at=asked_at,
            ended_at=ready_at,
            cured_by=ITSELF,
            ended_as=seen.verdict.value,
            not_ready_s=round(max(0.0, (ready_at - bad_since).total_seconds()), 1),
        )
    return None


def is_of_the_browser(incident: Incident) -> bool:
    """Whether the browser, or its page, ended by itself."""
    return incident.reason in _ENDS_OF_THE_BROWSER


def _fault_of(event: Event) -> tuple[Verdict, str] | None:
    if event.type == EventType.DISCONNECTED and event.data.get("reason") in _FAULTS:
        reason = str(event.data["reason"])
        return _FAULTS[reason], reason
    is_agent = event.type == EventType.RESTARTED and event.data.get("what") == "agent"
    return (Verdict.AGENT_GONE, "agent_ended") if is_agent and event.data.get("cause") == "unknown" else None


def _cured_by(incident: Incident, seen: Observation) -> str | None:
    if seen.verdict is not Verdict.HEALTHY:
        return None
    done = [rung for rung in incident.rungs if rung.rung != Rung.HOLD and rung.error is None]
    if incident.person_at is not None and (not done or done[-1].at < incident.person_at):
        return PERSON
    return done[-1].rung if done else ITSELF


def _stood(before: Memory, seen: Observation) -> bool:
    return before.trouble is not None and recovery.is_bad(seen)


def _bad_at(first: Observation) -> float:
    return first.at if first.bad_since is None else min(first.at, first.bad_since)


def _wall(moment: float, seen: Observation, asked_at: datetime) -> datetime:
    return asked_at - timedelta(seconds=max(0.0, seen.at - moment))
