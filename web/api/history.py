"""GET /api/history: the last day of health checks, a record for each minute that had one."""

from datetime import UTC, datetime

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel

from web.here import Here
from whatsapp_contract.health import Verdict
from whatsapp_contract.history import Minute, read_last_day_async


class MinuteOfChecks(BaseModel):
    """`verdict` and `reason` are the worst of the minute, `bad` how many of its checks saw a fault; `p50_ms` and
    `max_ms` of a check's round trip, null where none was answered."""

    at: AwareDatetime
    verdict: Verdict
    reason: str
    checks: int
    bad: int
    p50_ms: float | None
    max_ms: int | None
    memory_bytes: int | None  # the most that the browser took

    @classmethod
    def of(cls, minute: Minute) -> "MinuteOfChecks":
        known = minute.model_dump(exclude={"at", "took_ms"})
        return cls(at=datetime.fromtimestamp(minute.at, UTC), **known)


class History(BaseModel):
    """Oldest first; a minute without a check is missing. `until` is the minute that is not over."""

    until: AwareDatetime
    minutes: list[MinuteOfChecks]


def routes(here: Here) -> APIRouter:
    router = APIRouter(tags=["history"], dependencies=[Depends(here.gate.view)])

    @router.get("/history")
    async def history() -> History:
        """Verdict, checks, latency and memory by minutes."""
        now = datetime.now(UTC)
        minutes = await read_last_day_async(here.client.redis, here.client.names, now)
        return History(until=now, minutes=[MinuteOfChecks.of(minute) for minute in minutes if minute is not None])

    return router
