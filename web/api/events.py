"""/api/events: the stream of events, a page at a time, by long poll, or as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field

from web.feed import AT_ONCE, PLACE_PATTERN, START, Entry, Place, place_of
from web.here import Here
from web.problems import Problem
from web.tokens import Role
from whatsapp_contract.events import Event, EventType
from whatsapp_contract.redis_connection import is_outage

MOST_FOLLOWERS = 256
HEARTBEAT_S = 15.0
RECONNECT_AFTER_MS = 2000
LONGEST_WAIT_S = 30.0
REDIS_AGAIN_S = 1.0


def _event_id(given: str) -> str:
    place_of(given)
    return given


EventId = Annotated[str, AfterValidator(_event_id), Field(json_schema_extra={"pattern": PLACE_PATTERN})]
Types = Annotated[list[EventType] | None, Query(description="Only events of these types; repeat it for several.")]


class EventPage(BaseModel):
    """`next` is the id to go on from: give it as `after`."""

    events: list[Event]
    next: str


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/events", tags=["events"], dependencies=[Depends(here.gate.view)])
    followers = _Followers()

    @router.get("")
    async def events(
        after: Annotated[EventId | None, Query(description="An event's id; without it the newest are told.")] = None,
        limit: Annotated[int, Query(ge=1, le=AT_ONCE)] = 50,
        wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="For how long to wait for one.")] = 0,
        types: Types = None,
        role: Role = Depends(here.gate.view),  # noqa: B008  # FastAPI's form
    ) -> EventPage:
        """Events in their order: those after `after`, or the newest. The stream holds the last EVENTS_MAXLEN at most;
        a backend that must miss none reads it as a consumer group, or takes webhooks."""
        wanted = None if types is None else set(types)
        followers.refuse_if_full()
        with followers.one_more():
            if after is None:
                place, found = await here.feed.newest(), await here.feed.last(limit, wanted)
                place = max([place, *(entry.place for entry in found)])  # what came between the two questions
                if not found and wait_s:
                    found, place = await _wait(here, place, wanted, wait_s, limit)
            else:
                found, place = await _wait(here, place_of(after), wanted, wait_s, limit)
        return EventPage(events=[Event.model_validate_json(_told_to(role, one)) for one in found], next=_id(place))

    @router.get("/stream", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
    async def stream(
        types: Types = None,
        after: Annotated[EventId | None, Query(description="As Last-Event-ID, for the first request.")] = None,
        last_event_id: Annotated[EventId | None, Header()] = None,
        status: Annotated[bool, Query(description="Also an item `status` whenever that changes.")] = False,
        role: Role = Depends(here.gate.view),  # noqa: B008  # FastAPI's form
    ) -> StreamingResponse:
        """Server-sent events: the event's type, its id and, as data, the event; from now on, or after the one that
        Last-Event-ID names. A comment every 15 s keeps the connection open."""
        followers.refuse_if_full()
        start = last_event_id or after
        place = await here.feed.newest()
        if start is not None:
            place = min(place, place_of(start))  # of another stream, or made up: from now on
        body = _followed(here, followers, place, None if types is None else set(types), role, with_status=status)
        return StreamingResponse(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return router


class _Followers:
    """Connections that stay: each costs memory, whoever opens it."""

    def __init__(self) -> None:
        self._count = 0

    def refuse_if_full(self) -> None:
        """Raises Problem. Before an answer is begun: within a stream it could not be told any more."""
        if self._count >= MOST_FOLLOWERS:
            raise Problem(503, "busy", f"{MOST_FOLLOWERS} follow the events already", retryable=True)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Around whatever stays."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


async def _wait(
    here: Here, place: Place, types: set[EventType] | None, wait_s: float, limit: int
) -> tuple[list[Entry], Place]:
    async with here.feed.followed():
        found, place = await here.feed.after(place, types, wait_s, limit)
    return found, place


def _id(place: Place) -> str:
    return "0-0" if place == START else f"{place[0]}-{place[1]}"


async def _followed(
    here: Here, followers: _Followers, place: Place, types: set[EventType] | None, role: Role, *, with_status: bool
) -> AsyncIterator[str]:
    """The lines of a stream. Its place is kept through outages of Redis."""
    async with AsyncExitStack() as stack:
        stack.enter_context(followers.one_more())
        await stack.enter_async_context(here.feed.followed())
        sources: dict[str, Any] = {}
        told = ""
        try:
            yield f"retry: {RECONNECT_AFTER_MS}\n\n"
            if with_status:
                await stack.enter_async_context(here.status_feed.followed())
            while True:
                if "events" not in sources:
                    sources["events"] = asyncio.create_task(_next_events(here, place, types))
                if with_status and "status" not in sources:
                    sources["status"] = asyncio.create_task(here.status_feed.other_than(told))
                done, _ = await asyncio.wait(sources.values(), return_when=asyncio.FIRST_COMPLETED)
                for name in [name for name, task in sources.items() if task in done]:
                    result = sources.pop(name).result()
                    if name == "status":
                        told = result
                        yield f"event: status\ndata: {told}\n\n"
                        continue
                    found, place = result
                    yield "".join(_item(entry, role) for entry in found) or ": still here\n\n"
        finally:
            for task in sources.values():
                task.cancel()


async def _next_events(here: Here, place: Place, types: set[EventType] | None) -> tuple[list[Entry], Place]:
    try:
        return await here.feed.after(place, types, HEARTBEAT_S)
    except Exception as error:
        if not is_outage(error):
            raise
        await asyncio.sleep(REDIS_AGAIN_S)
        return [], place


def _item(entry: Entry, role: Role) -> str:
    return f"id: {entry.id}\nevent: {entry.type}\ndata: {_told_to(role, entry)}\n\n"


def _told_to(role: Role, entry: Entry) -> str:
    """The event's JSON. Who may only look is not told what a QR code encodes: it links a phone."""
    if role >= Role.ACT or entry.type != EventType.QR:
        return entry.document
    event = json.loads(entry.document)
    return json.dumps({**event, "data": {**event["data"], "payload": ""}})
