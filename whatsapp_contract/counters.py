"""What is counted, and kept in Redis so that it survives whoever counts: the watchdog's counters, and events by type.

Two hashes for each session. A field is what is counted and its labels, with colons between them; its value only grows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from .events import AlertData, EventType, MediaData, MessageAckData, MessageData, RestartedData

# Upper bounds of a check's round trip. What takes longer than the last has only its number.
TOOK_AT_MOST_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)

# Outcomes of a check beside the verdicts: it was interrupted and tells nothing; another, or its rung, was under way.
INTERRUPTED, OVERLAPPED = "interrupted", "overlapped"

RUNGS = ("reset", "reload", "restart_browser", "restart_agent", "hold")
DONE, FAILED = "done", "failed"

# Outcomes of the scheduled reset.
PROVEN, UNPROVEN, NOT_READY = "proven", "unproven", "not_ready"
RESET_OUTCOMES = (PROVEN, UNPROVEN, NOT_READY, FAILED)

TAKEN, LATE, MISSED = "taken", "late", "missed"  # ticks of the scheduler

# Kinds of events, where the type alone does not say what is asked for: one level, from few words.
LIVE, BACKFILL, OWN = "live", "backfill", "own"

_OVER = "over"
_TOOK_US = "took_us"


def check(outcome: str) -> str:
    return f"checks:{outcome}"


def rung(name: str, *, failed: bool) -> str:
    return f"rungs:{name}:{FAILED if failed else DONE}"


def incident(verdict: str) -> str:
    return f"incidents:{verdict}"


def scheduled_reset(outcome: str) -> str:
    return f"resets:{outcome}"


def ticks(what: str) -> str:
    return f"ticks:{what}"


def took(took_ms: float) -> dict[str, int]:
    """The fields that one round trip moves, and by how much."""
    bound = next((bound for bound in TOOK_AT_MOST_MS if took_ms <= bound), _OVER)
    return {f"took:{bound}": 1, _TOOK_US: round(took_ms * 1000)}


def of_event(event_type: str, data: BaseModel) -> str:
    """The field of an event: its type, and its kind where it has one."""
    kind = _kind(data)
    return f"{event_type}:{kind}" if kind else event_type


def _kind(data: BaseModel) -> str | None:
    match data:
        case MessageData():
            return OWN if data.from_me else data.source
        case MediaData():
            return data.status
        case MessageAckData():
            return data.ack
        case AlertData():
            return data.code
        case RestartedData():
            return data.what
        case _:
            return None


@dataclass(frozen=True)
class CheckCounts:
    """What the watchdog has counted. `took` are round trips by upper bound in ms, each with those below it, the last
    without bound (infinity); `took_s` is their sum. Rungs are by name and whether they failed."""

    checks: Mapping[str, int] = field(default_factory=dict)
    took: tuple[tuple[float, int], ...] = ()
    took_s: float = 0.0
    rungs: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    incidents: Mapping[str, int] = field(default_factory=dict)
    resets: Mapping[str, int] = field(default_factory=dict)
    ticks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EventCounts:
    """Events that were told since they are counted, by type and kind (empty where a type has none)."""

    by_kind: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def of(self, event_type: EventType, *kinds: str) -> int:
        """Of a type, all or of those kinds."""
        return sum(n for (one, kind), n in self.by_kind.items() if one == event_type and (not kinds or kind in kinds))

    def kinds(self, event_type: EventType) -> dict[str, int]:
        return {kind: n for (one, kind), n in sorted(self.by_kind.items()) if one == event_type}


def read_check_counts(kept: Mapping[str, str]) -> CheckCounts:
    """What is none of ours is passed over."""
    counts = _numbers(kept)
    total, took_list = 0, []
    for bound in TOOK_AT_MOST_MS:
        total += counts.get(f"took:{bound}", 0)
        took_list.append((float(bound), total))
    took_list.append((float("inf"), total + counts.get(f"took:{_OVER}", 0)))
    return CheckCounts(
        checks=_group(counts, "checks"),
        took=tuple(took_list),
        took_s=counts.get(_TOOK_US, 0) / 1e6,
        rungs={tuple(key.split(":")): n for key, n in _group(counts, "rungs").items() if key.count(":") == 1},
        incidents=_group(counts, "incidents"),
        resets=_group(counts, "resets"),
        ticks=_group(counts, "ticks"),
    )


def read_event_counts(kept: Mapping[str, str]) -> EventCounts:
    """What is none of ours is passed over."""
    parts = ((*name.partition(":"), n) for name, n in _numbers(kept).items())
    return EventCounts({(event_type, kind): n for event_type, _, kind, n in parts})


def _numbers(kept: Mapping[str, str]) -> dict[str, int]:
    return {name: int(n) for name, n in kept.items() if n.isascii() and n.isdigit()}


def _group(counts: Mapping[str, int], group: str) -> dict[str, int]:
    return {name.partition(":")[2]: n for name, n in counts.items() if name.startswith(group + ":")}
