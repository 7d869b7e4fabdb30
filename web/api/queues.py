"""GET /api/queues: how much waits, and for whom."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from web.here import Here
from web.problems import redis_away


class GroupBehind(BaseModel):
    """A consumer group of the events. `waiting` were not given to it yet; null where Redis cannot say."""

    name: str
    unacknowledged: int
    waiting: int | None


class Queues(BaseModel):
    """Events in the stream and the groups that read them; files by state; sends; tasks of the workers by queue."""

    events: int
    groups: list[GroupBehind]
    media: dict[str, int]
    sends_open: int
    sends_stopped: bool
    tasks: dict[str, int]


def routes(here: Here) -> APIRouter:
    router = APIRouter(tags=["queues"], dependencies=[Depends(here.gate.view)])

    @router.get("/queues")
    async def queues() -> Queues:
        """How much waits."""
        counts = await here.reader.counts()
        if counts is None:
            raise redis_away()
        return Queues(
            events=counts.stream,
            groups=[
                GroupBehind(name=name, unacknowledged=given, waiting=waiting) for name, given, waiting in counts.groups
            ],
            media=counts.media,
            sends_open=counts.sends_open,
            sends_stopped=counts.sends_stopped,
            tasks=counts.queues,
        )

    return router
