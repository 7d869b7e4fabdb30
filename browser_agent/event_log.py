"""Events out: into the stream first, then on pub/sub, numbered, claimed and fenced by one script.

Publishing never waits for Redis: events queue here, in order, and are sent in batches. A batch whose answer was lost
is sent again; the script skips what it had taken. While Redis is away at most QUEUE_AT_MOST messages wait, and some
room is left for other events. What does not fit is not taken, and `on_dropped` is called: nothing later may be taken
for proof that it was told, and the next audit tells it (gap_audit.py).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis.asyncio
from pydantic import BaseModel
from redis.exceptions import NoScriptError

from whatsapp_contract import event_script, log_context
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

from .fence import Fence, Fenced

log = get_logger(__name__)

BATCH_AT_MOST = 64
QUEUE_AT_MOST = 20_000
ROOM_FOR_OTHERS = 1_000


Sent = Callable[[bool], None]


@dataclass(frozen=True, eq=False, slots=True)
class _Entry:
    """`about` is what the log says of an event, in its own words and in those of whoever published it."""

    args: list[str]
    sent: Sent | None
    about: dict[str, Any] | None = None


class EventLog:
    """One per agent's life. Events carry the fence's epoch of when they are sent."""

    def __init__(
        self, redis: "redis.asyncio.Redis", names: SessionNames, fence: Fence, queue_at_most: int = QUEUE_AT_MOST
    ) -> None:
        self.dropped = 0
        self.on_dropped: Callable[[], None] = lambda: None
        self.on_back: Callable[[], None] = lambda: None  # Redis takes events again
        self._redis = redis
        self._names = names
        self._fence = fence
        self._queue_at_most = queue_at_most
        self._numbers = 0
        self._queue: deque[_Entry] = deque()
        self._waiting = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sha: str | None = None

    def publish(
        self,
        event_type: EventType,
        data: BaseModel,
        occurred_at: datetime | None = None,
        *,
        claim: str | None = None,
        also: Sequence[RedisCommand] = (),
        sent: Sent | None = None,
    ) -> None:
        """Queue an event; `occurred_at` where it is not now.

        One whose `claim` was made before, by whichever agent, is not told again. `also` are Redis commands that are
        carried out together with the event, or not at all. `sent` is called with whether it was told: False where the
        claim was made before.
        """
        if not self._has_room(is_claimed=claim is not None):
            return
        now = datetime.now(UTC)
        self._numbers += 1
        args = event_script.event_args(
            self._names.session_id,
            event_type.value,
            data,
            number=self._numbers,
            occurred_at=occurred_at or now,
            observed_at=now,
            claim=claim,
            also=also,
        )
        code = {"code": data.code} if isinstance(data, AlertData) else {}
        about = {"event_type": event_type.value, **code, **log_context.current()}
        self._enqueue(_Entry(args, sent, about))

    def write(self, also: Sequence[RedisCommand], sent: Sent | None = None) -> None:
        """Queue Redis commands: fenced, and carried out after all events before them are in the stream."""
        if not self._has_room(is_claimed=False):
            return
        self._numbers += 1
        self._enqueue(_Entry(event_script.write_args(number=self._numbers, also=also), sent))

    def _has_room(self, *, is_claimed: bool) -> bool:
        if len(self._queue) < self._queue_at_most + (0 if is_claimed else ROOM_FOR_OTHERS):
            return True
        self.dropped += 1
        self.on_dropped()
        return False

    def _enqueue(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._idle.clear()
        self._waiting.set()

    async def run(self) -> None:
        """Send what is queued until cancelled. Raises Fenced."""
        backoff = Backoff(0.1, 5.0)
        away = False
        while True:
            await self._waiting.wait()
            batch = [self._queue[index] for index in range(min(len(self._queue), BATCH_AT_MOST))]
            try:
                sent = await self._send(batch)
            except Exception as error:
                if not is_outage(error):
                    raise
                if not away:
                    log.warning("events wait for Redis", waiting=len(self._queue), error=str(error))
                away = True
                await asyncio.sleep(backoff.next_s())
                continue
            if away:
                log.info("events flow again", dropped=self.dropped)
                away = False
                self.on_back()
            backoff.reset()
            self._forget(sent)

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be sent."""
        return self._idle.is_set()

    async def flushed(self, within_s: float) -> bool:
        """Wait until nothing is queued; False when that took too long."""
        try:
            async with asyncio.timeout(within_s):
                return await self._idle.wait()
        except TimeoutError:
            return False

    async def _send(self, batch: list[_Entry]) -> list[_Entry]:
        """Those that are in the stream now. Raises Fenced."""
        epoch = self._fence.epoch
        try:
            answers = await self._evaluate(epoch, batch)
        except NoScriptError:  # a Redis that was restarted
            self._sha = None
            answers = await self._evaluate(epoch, batch)
        if answers == [event_script.FENCED]:
            if epoch == self._fence.epoch:
                raise Fenced
            return []  # they go out again under our own new epoch
        for entry, answer in zip(batch, answers, strict=True):
            if entry.sent is not None:
                entry.sent(answer != event_script.CLAIMED)
            if entry.about is not None and answer not in (event_script.CLAIMED, event_script.REPEATED):
                _log_told(entry.about, str(answer))
        return batch

    async def _evaluate(self, epoch: int, batch: list[_Entry]) -> list[Any]:
        if self._sha is None:
            self._sha = await self._redis.script_load(event_script.PUBLISH_LUA)
        keys = event_script.publish_keys(self._names)
        args = [event_script.epoch_arg(epoch), *(arg for entry in batch for arg in entry.args)]
        # Shielded: redis waits with asyncio.wait_for, which may swallow a cancellation (Python 3.11).
        answers: Any = await asyncio.shield(self._redis.evalsha(self._sha, len(keys), *keys, *args))
        return list(answers)

    def _forget(self, batch: list[_Entry]) -> None:
        """Take the sent ones off the queue; some may have been dropped from it meanwhile."""
        for entry in batch:
            if self._queue and self._queue[0] is entry:
                self._queue.popleft()
        if not self._queue:
            self._waiting.clear()
            self._idle.set()


def _log_told(about: dict[str, Any], event_id: str) -> None:
    if about["event_type"] == EventType.ALERT:
        log.error("a person should look", **about, event_id=event_id)
    else:
        log.debug("an event was told", **about, event_id=event_id)
