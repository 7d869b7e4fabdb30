"""The last day of health checks, minute by minute: written by the watchdog, read by whoever draws it.

One list for each session, the latest minute first, in the order in which they were written: a clock that is stepped
loses nothing of it. It is cut to a day and two hours, so that it cannot grow, either, and one LRANGE reads it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field

from .health import Verdict
from .kept_records import read_kept
from .names import SessionNames

if TYPE_CHECKING:
    import redis
    import redis.asyncio

MINUTE_S = 60
MINUTES = 1440  # that are shown
RECORDS_KEPT = MINUTES + 120  # so that those of a clock that was off for two hours do not push the day out
KEPT_S = 3 * 86_400  # after the last check
LATENCIES_KEPT = 60  # of a minute: a check each second

WORST_FIRST = (
    Verdict.AGENT_GONE,
    Verdict.AGENT_HUNG,
    Verdict.BROWSER_GONE,
    Verdict.PAGE_HUNG,
    Verdict.BLOCKED,
    Verdict.DEAF,
    Verdict.DISCONNECTED,
    Verdict.WAITING_FOR_PERSON,
    Verdict.DEGRADED,
    Verdict.HEALTHY,
)
_NO_FAULT = frozenset({Verdict.HEALTHY, Verdict.DEGRADED, Verdict.WAITING_FOR_PERSON})


@dataclass(frozen=True)
class CheckSeen:
    """What one check saw. `took_ms` is its round trip, null where no answer came."""

    at: datetime
    verdict: Verdict
    reason: str
    took_ms: float | None = None
    memory_bytes: int | None = None


class Minute(BaseModel):
    """The checks of one minute. `verdict` and `reason` are the worst; `bad` counts faults, of which neither coming up
    nor waiting for a person is one. `memory_bytes` is the most that the browser took; `took_ms` are the round trips of
    those that were answered."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: int  # epoch seconds of its beginning
    verdict: Verdict = Verdict.HEALTHY
    reason: str = "ready"
    checks: int = Field(1, validation_alias=AliasChoices("n", "checks"), serialization_alias="n")
    bad: int = 0
    took_ms: tuple[int, ...] = Field((), validation_alias=AliasChoices("ms", "took_ms"), serialization_alias="ms")
    memory_bytes: int | None = Field(
        None, validation_alias=AliasChoices("memory", "memory_bytes"), serialization_alias="memory"
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p50_ms(self) -> float | None:
        return median(self.took_ms) if self.took_ms else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def max_ms(self) -> int | None:
        return max(self.took_ms, default=None)

    def to_json(self) -> str:
        """As it is kept: short, since there are many of them, and most are healthy."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True, exclude={"p50_ms", "max_ms"})


def minute_of(moment: datetime) -> int:
    """The epoch second at which its minute begins."""
    return int(moment.timestamp()) // MINUTE_S * MINUTE_S


def of_check(seen: CheckSeen) -> Minute:
    """A minute with one check. Pure, as all below that takes no client."""
    return Minute(
        at=minute_of(seen.at),
        verdict=seen.verdict,
        reason=seen.reason[:80],
        checks=1,
        bad=int(seen.verdict not in _NO_FAULT),
        took_ms=() if seen.took_ms is None else (round(seen.took_ms),),
        memory_bytes=seen.memory_bytes,
    )


def together(first: Minute, second: Minute) -> Minute:
    """The same minute, of which both knew a part."""
    worst = min(first, second, key=lambda minute: WORST_FIRST.index(minute.verdict))
    memory = [known for known in (first.memory_bytes, second.memory_bytes) if known is not None]
    return Minute(
        at=first.at,
        verdict=worst.verdict,
        reason=worst.reason,
        checks=first.checks + second.checks,
        bad=first.bad + second.bad,
        took_ms=(*first.took_ms, *second.took_ms)[-LATENCIES_KEPT:],
        memory_bytes=max(memory, default=None),
    )


def last_day(kept: Iterable[str], now: datetime) -> list[Minute | None]:
    """The last 1,440 minutes, the oldest first and the present one last; None for one in which nothing was checked."""
    last = minute_of(now)
    first = last - (MINUTES - 1) * MINUTE_S
    known: dict[int, Minute] = {}
    for minute in (read_kept(Minute, one) for one in kept):
        if minute is not None and first <= minute.at <= last:
            known[minute.at] = together(known[minute.at], minute) if minute.at in known else minute
    return [known.get(at) for at in range(first, last + 1, MINUTE_S)]


def counts_of(minutes: Sequence[Minute | None]) -> tuple[int, int]:
    """How many checks there were, and how many of them were bad."""
    known = [minute for minute in minutes if minute is not None]
    return sum(minute.checks for minute in known), sum(minute.bad for minute in known)


def read_last_day(client: "redis.Redis", names: SessionNames, now: datetime) -> list[Minute | None]:
    """As `last_day`. Takes a client that decodes; raises redis' own errors."""
    kept: Any = client.lrange(names.history, 0, -1)
    return last_day(kept, now)


async def read_last_day_async(
    client: "redis.asyncio.Redis", names: SessionNames, now: datetime
) -> list[Minute | None]:
    """The same, for an event loop, of which it takes some milliseconds."""
    kept: Any = await client.lrange(names.history, 0, -1)
    return last_day(kept, now)
