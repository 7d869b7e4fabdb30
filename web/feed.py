"""The events as they come, for however many follow them: one reader of the stream for all of them.

The newest events are kept here; whoever is further behind reads on from Redis. So a slow follower costs nothing but
its own place, and none is lost that the stream still holds.
"""

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.events import Event
from whatsapp_contract.following import SLICE_S
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

if TYPE_CHECKING:
    import redis.asyncio

log = get_logger(__name__)

KEPT = 1_000
KEPT_BYTES = 4 * 1024 * 1024
AT_ONCE = 200
AT_ONCE_FROM_REDIS = 50  # for each who is behind: an event may have a long text
LOOKED_THROUGH = 5_000  # for the newest of some types
READS_ON_FOR_S = 30.0  # after the last follower is gone: it may only have lost its connection

Place = tuple[int, int]
PLACE_PATTERN = r"^[0-9]{1,19}(-[0-9]{1,19})?$"
START: Place = (0, 0)


@dataclass(frozen=True)
class Entry:
    """One event of the stream. `kept` is its JSON as it lies there."""

    place: Place
    type: str
    kept: str

    @property
    def id(self) -> str:
        return f"{self.place[0]}-{self.place[1]}"

    @property
    def document(self) -> str:
        """Its JSON, with its id."""
        if self.kept.endswith("}"):
            return f'{self.kept[:-1]},"id":"{self.id}"}}'
        return json.dumps({**json.loads(self.kept), "id": self.id}, ensure_ascii=False)


def place_of(event_id: str) -> Place:
    """Where an id stands in the stream. Raises ValueError for what is no stream's id."""
    if re.fullmatch(PLACE_PATTERN, event_id, re.ASCII) is None:
        raise ValueError("an event's id has the form 1764000000000-0")
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number or 0)


class Feed:
    """Reads only while somebody follows."""

    def __init__(self, redis: "redis.asyncio.Redis", names: SessionNames) -> None:
        self._redis = redis
        self._events = names.events
        self._kept: deque[Entry] = deque()
        self._kept_bytes = 0
        self._scan = asyncio.Lock()
        self._floor: Place | None = None  # everything after it and up to the newest is kept here
        self._newest = START
        self._news = asyncio.Event()
        self._followers = 0
        self._reader: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Around whatever waits for events."""
        self._followers += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            self._start()
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._idle = asyncio.get_running_loop().call_later(READS_ON_FOR_S, self._stop)

    async def newest(self) -> Place:
        """The place of the newest event there is. Raises redis' errors."""
        last: Any = await self._redis.xrevrange(self._events, count=1)
        return place_of(last[0][0]) if last else START

    async def last(self, count: int, types: Collection[str] | None) -> list[Entry]:
        """The newest events, oldest first, of the last LOOKED_THROUGH. Raises redis' errors."""
        async with self._scan:  # one at a time: it takes the processor from all others
            return await self._last(count, types)

    async def _last(self, count: int, types: Collection[str] | None) -> list[Entry]:
        found: list[Entry] = []
        before = "+"
        for _ in range(LOOKED_THROUGH // AT_ONCE):
            raw: Any = await self._redis.xrevrange(self._events, max=before, count=AT_ONCE)
            await asyncio.sleep(0)
            found += [entry for entry in _entries(raw) if _is_wanted(entry, types)]
            if len(raw) < AT_ONCE or len(found) >= count:
                break
            before = f"({raw[-1][0]}"
        return found[:count][::-1]

    async def after(
        self, place: Place, types: Collection[str] | None, wait_s: float, most: int = AT_ONCE
    ) -> tuple[list[Entry], Place]:
        """The next events after a place, and the place to go on from, which is further where others than those of
        `types` came; none after `wait_s`, however many of others there are. Within `followed`. Raises redis' errors.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            self._start()  # again, where it ended for a bug
            news = self._news  # taken before looking: what comes meanwhile sets this one
            looked_at = await self._next(place, most)
            if looked_at:
                place = looked_at[-1].place
                wanted = [entry for entry in looked_at if _is_wanted(entry, types)]
                if wanted or loop.time() >= deadline:
                    return wanted, place
                continue
            left_s = deadline - loop.time()
            if left_s <= 0:
                return [], place
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await news.wait()

    async def _next(self, place: Place, most: int) -> list[Entry]:
        if self._floor is None or place < self._floor:
            count = min(most, AT_ONCE_FROM_REDIS)
            raw: Any = await self._redis.xrange(self._events, min=f"({place[0]}-{place[1]}", count=count)
            return _entries(raw)
        found: list[Entry] = []
        for entry in reversed(self._kept):
            if entry.place <= place:
                break
            found.append(entry)
        return found[::-1][:most]

    # -- the reader ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._reader is None or self._reader.done():
            self._floor = None
            self._reader = asyncio.create_task(self._read())
            self._reader.add_done_callback(_tell_end)

    def _stop(self) -> None:
        if self._reader is not None and not self._followers:
            self._reader.cancel()
            self._reader, self._floor = None, None
            self._forget()

    async def _read(self) -> None:
        backoff, is_away = Backoff(0.2, 5.0), False
        while True:
            try:
                if self._floor is None:
                    self._newest = await self.newest()
                    self._forget()
                    self._floor = self._newest
                    self._tell()  # what came before it is read from Redis
                found: Any = await self._redis.xread(
                    {self._events: f"{self._newest[0]}-{self._newest[1]}"}, AT_ONCE, int(SLICE_S * 1000)
                )
            except Exception as error:
                if not is_outage(error):
                    raise
                if not is_away:
                    log.warning("the events cannot be read", error=str(error))
                is_away, self._floor = True, None  # after an outage it may be another stream
                await asyncio.sleep(backoff.next_s())
                continue
            if is_away:
                log.info("the events can be read again")
                backoff.reset()
                is_away = False
            for _stream, raw in found or []:
                for entry in _entries(raw):
                    self._keep(entry)
                self._tell()

    def _keep(self, entry: Entry) -> None:
        self._kept.append(entry)
        self._kept_bytes += len(entry.kept)
        self._newest = entry.place
        while len(self._kept) > KEPT or self._kept_bytes > KEPT_BYTES:
            gone = self._kept.popleft()
            self._kept_bytes -= len(gone.kept)
            self._floor = gone.place

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _entries(raw: Any) -> list[Entry]:
    return [_entry(entry_id, fields) for entry_id, fields in raw]


# As event_script.py writes it: most need not be read whole to be told apart.
_HEAD = re.compile(r'\{"v":1,"type":"([a-z_]{1,32})","session_id":"')


def _entry(entry_id: str, fields: Any) -> Entry:
    """Of no type where it is no event of ours: it is passed over, but it has its place."""
    kept = fields.get("event", "")
    found = _HEAD.match(kept)
    if found is None:
        try:
            return Entry(place_of(entry_id), Event.model_validate_json(kept).type, kept)
        except ValueError:
            return Entry(place_of(entry_id), "", "")
    return Entry(place_of(entry_id), found[1], kept)


def _is_wanted(entry: Entry, types: Collection[str] | None) -> bool:
    return bool(entry.type) and (types is None or entry.type in types)


def _tell_end(reader: "asyncio.Task[None]") -> None:
    if not reader.cancelled() and (error := reader.exception()) is not None:
        log.error("the reader of the events ended for a bug", exc_info=error)
