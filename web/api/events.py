"""/api/events: the stream of events, a page at a time, by long poll, or as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, nullcontext
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field

from web.feed import AT_ONCE, PLACE_PATTERN, START, Entry, Place, place_of
from web.here import Here
from web.logins import Login
from web.problems import Problem
from web.tokens import Role
from whatsapp_contract.events import Event, EventType
from whatsapp_contract.redis_connection import is_outage

MOST_FOLLOWERS, MOST_VIEWERS = 256, 192
TAKES_WITHIN_S = 30.0
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
        with followers.one_more(role) if wait_s else nullcontext():
            place = await here.feed.newest()
            if after is None:
                found = await here.feed.last(limit, wanted)
                place = max([place, *(entry.place for entry in found)])  # what came between the two questions
                if not found and wait_s:
                    found, place = await _wait(here, place, wanted, wait_s, limit)
            else:  # of another stream, or made up: from now on
                found, place = await _wait(here, min(place, place_of(after)), wanted, wait_s, limit)
        told = (_told_to(role, entry) for entry in found)
        return EventPage(events=[event for one in told if (event := _event(one)) is not None], next=_id(place))

    @router.get("/stream", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
    async def stream(
        request: Request,
        types: Types = None,
        after: Annotated[EventId | None, Query(description="As Last-Event-ID, for the first request.")] = None,
        last_event_id: Annotated[EventId | None, Header()] = None,
        status: Annotated[bool, Query(description="Also an item `status` whenever that changes.")] = False,
        role: Role = Depends(here.gate.view),  # noqa: B008  # FastAPI's form
    ) -> StreamingResponse:
        """Server-sent events: the event's type, its id and, as data, the event; from now on, or after the one that
        Last-Event-ID names. A comment every 15 s keeps the connection open."""
        wanted = None if types is None else set(types)
        login = await here.gate.login_of(request)
        with ExitStack() as taken:
            taken.enter_context(followers.one_more(role))
            start = last_event_id or after
            place = await here.feed.newest()
            if start is not None:
                place = min(place, place_of(start))  # of another stream, or made up: from now on
            body = _followed(here, place, wanted, role, login, with_status=status)
            return _Stream(body, taken.pop_all())

    return router


class _Followers:
    """Connections that stay: each costs memory, whoever opens it."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def one_more(self, role: Role) -> Iterator[None]:
        """Around whatever stays. Raises Problem where there are too many; viewers leave some places to who may act."""
        most = MOST_FOLLOWERS if role >= Role.ACT else MOST_VIEWERS
        if self._count >= most:
            raise Problem(503, "busy", f"{most} follow the events already", retryable=True)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


class _Stream(StreamingResponse):
    """Gives its place back however it ends, and ends with a client that takes nothing."""

    def __init__(self, body: AsyncIterator[str], taken: ExitStack) -> None:
        super().__init__(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._taken = taken

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def in_time(message: Any) -> None:
            try:
                async with asyncio.timeout(TAKES_WITHIN_S):
                    await send(message)
            except TimeoutError:
                raise OSError("a follower takes nothing") from None

        try:
            await super().__call__(scope, receive, in_time)
        finally:
            self._taken.close()


async def _wait(
    here: Here, place: Place, types: set[EventType] | None, wait_s: float, limit: int
) -> tuple[list[Entry], Place]:
    async with here.feed.followed():
        found, place = await here.feed.after(place, types, wait_s, limit)
    return found, place


def _id(place: Place) -> str:
    return "0-0" if place == START else f"{place[0]}-{place[1]}"


async def _followed(
    here: Here, place: Place, types: set[EventType] | None, role: Role, login: Login | None, *, with_status: bool
) -> AsyncIterator[str]:
    """The lines of a stream. Its place is kept through outages of Redis; it ends with the session that opened it."""
    async with AsyncExitStack() as stack:
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
                    if login is not None and not await here.gate.is_open(login):
                        return
                    for entry in found:  # one by one: whoever takes them slowly holds one of them
                        yield _item(entry, role)
                    if not found:
                        yield ": still here\n\n"
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


def _event(document: str) -> Event | None:
    """None for what has an event's beginning and is none."""
    try:
        return Event.model_validate_json(document)
    except ValueError:
        return None


def _told_to(role: Role, entry: Entry) -> str:
    return told_to(role, entry.type, entry.document)


def told_to(role: Role, event_type: str, document: str) -> str:
    """The event's JSON. Who may only look is not told what a QR code encodes: it links a phone."""
    if role >= Role.ACT or event_type != EventType.QR:
        return document
    event = json.loads(document)
    data = event.get("data")
    return json.dumps({**event, "data": {**(data if isinstance(data, dict) else {}), "payload": ""}})
