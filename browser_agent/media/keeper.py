"""MediaKeeper: works the ledger off. Start reading at `run`, then `_carry`: the way of one file.

A bounded number at a time, the newest and the oldest in turn, each from where it stands: what lies on this machine's
disk already is not fetched again, what is stored under the same content is not even fetched. A file leaves `due` in
the same step in which its `media` event is told, so that whoever is killed in between is followed by one who does it
again.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from browser_agent.event_log import EventLog
from browser_agent.session.errors import ObjectRefused
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import MessageData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.media_record import ENDED, MediaRecord, MediaState
from whatsapp_contract.redis_connection import is_outage

from .fetching import UNKNOWN_SIZE, Fetching
from .files import Files
from .ledger import Ledger
from .policy import GivenUp, Problem, after, is_suspect
from .process import MediaProcess
from .requests import (
    Corrupt,
    LocalFileBad,
    LocalFileGone,
    ProcessDied,
    WorkFailed,
)
from .slots import Slots
from .store_gate import FailsAlone
from .storing import Storing
from .telling import TOLD_WITHIN_S, Telling

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

log = get_logger(__name__)

# Measured with a burst of 100 photos of 1 MiB on two cores: fewer leave a core idle, more take longer for each.
FETCHES_AT_ONCE = 4
FILES_AHEAD = 50
WAITING_AT_MOST = 16  # for their turn to be fetched: what comes meanwhile may overtake those that are still in Redis
BYTES_AHEAD = 500 * 1024 * 1024
LOOK_FOR_AT_LEAST = 4
LOOK_AGAIN_S = 30.0  # whatever was missed
NOT_READY_LOOK_S = 1.0
SETTLED_WITHIN_S = 0.3
FORGET_EVERY_S = 3600.0

# Whose trouble it is when a file could not be kept. The store's own is waited for by the gate.
_PROBLEMS: dict[type[Exception], Problem] = {
    Corrupt: Problem.CORRUPT,
    ObjectRefused: Problem.TOO_LARGE,
    LocalFileBad: Problem.UNFETCHABLE,
    WorkFailed: Problem.UNFETCHABLE,
    FailsAlone: Problem.UNFETCHABLE,
    LocalFileGone: Problem.INTERRUPTED,
    ProcessDied: Problem.CRASHED,
}


class MediaKeeper:
    """One per agent, whose page, event log and child process it uses."""

    def __init__(
        self,
        ledger: Ledger,
        event_log: EventLog,
        files: Files,
        process: MediaProcess,
        session_id: str,
        max_bytes: int,
        page: "Callable[[], WhatsAppPage]",
        is_ready: Callable[[], bool],
        gate_backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
        told_within_s: float = TOLD_WITHIN_S,
    ) -> None:
        self.ledger = ledger
        self.process = process
        self._files = files
        self._max_bytes = max_bytes
        self._is_ready = is_ready
        self._clock = clock
        self._telling = Telling(event_log, told_within_s)
        self._fetching = Fetching(files, max_bytes, page, is_ready, self._on_bad_disk)
        self._fetches = Slots(FETCHES_AT_ONCE)
        self._storing = Storing(ledger, files, process, self._telling, session_id, clock, gate_backoff)
        self._in_hand: dict[str, int] = {}  # keys with the bytes that they may take
        self._contents: dict[str, _Content] = {}
        self._full = False  # more may be due than was taken
        self._news = asyncio.Event()
        self._poke_comes = False

    async def run(self) -> None:
        """Work off what is due until cancelled."""
        try:
            await self._while_redis_is_away(self._sweep)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forget_now_and_then())
                while True:
                    self._news.clear()
                    wait_s = await self._while_redis_is_away(lambda: self._begin_what_is_due(tasks))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._news.wait()
        finally:
            await self.process.close()
            await self.ledger.settled(SETTLED_WITHIN_S)

    @property
    def is_fetching(self) -> bool:
        """A file comes out of the page at this moment."""
        return self._fetches.are_taken

    def poke(self) -> None:
        """Something may be due now."""
        self._news.set()

    def entering(self, message: MessageData) -> Sequence[RedisCommand]:
        """What goes into one step with the `message` event that is published next; its file is begun right after."""
        commands = self.ledger.commands_for(message)
        if commands and not self._poke_comes:
            self._poke_comes = True
            asyncio.get_running_loop().call_soon(self._poke_when_told)
        return commands

    async def retry(self, keys: Sequence[str] | None) -> tuple[int, list[str]]:
        """Dead letters, or all of them, back to work. Answers how many, and which keys are none."""
        records = await self.ledger.failed(keys)
        for commands in self.ledger.tried_anew(records, self._clock()):
            await self._telling.written(commands)
        self.poke()
        known = {record.key for record in records}
        return len(records), [key for key in keys or () if key not in known]

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def _begin_what_is_due(self, tasks: asyncio.TaskGroup) -> float:
        """Answers after how many seconds to look again."""
        now = self._clock()
        self._full = self._room <= 0
        if self._full:
            return LOOK_AGAIN_S
        ready = self._is_ready()
        put_off = False
        # As of before asking: one that is done meanwhile may still be in the answer.
        in_hand = frozenset(self._in_hand)
        due = await self.ledger.due(now, FILES_AHEAD, besides=in_hand)
        self._full = not due.is_all
        for key in due.lost:
            self._in_hand[key] = 0
            tasks.create_task(self._tell_lost(key))
        room = self._room
        for record in due.records:
            if room <= 0:
                self._full = True
                break
            if not ready and record.state not in ENDED and self._files.size(record.key) is None:
                put_off = True
                continue
            size = record.size if record.size is not None else UNKNOWN_SIZE
            if self._in_hand and self._bytes_ahead + size > BYTES_AHEAD:
                self._full = True
                break
            room -= 1
            self._in_hand[record.key] = size
            tasks.create_task(self._work(record))
        if put_off:
            return NOT_READY_LOOK_S
        next_at = await self.ledger.next_due_after(now)
        return LOOK_AGAIN_S if next_at is None else min(max(next_at - self._clock(), 0.0), LOOK_AGAIN_S)

    async def _work(self, record: MediaRecord) -> None:
        """One file, as far as it comes now. What it comes to is in Redis before it is out of our hands."""
        try:
            if record.state in ENDED and not await self._storing.may_be_gone(record):
                await self._telling.media(record, self.ledger.told_again(record), lambda: None, again=True)
            else:
                record = self.ledger.reopened(record) if record.state in ENDED else record
                async with self._content(record.sha256):
                    await self._carry(record)
        except Exception as error:
            if is_outage(error):
                return  # Redis went away under a question: the file is due as it was
            # A bug that one file brings to light must not keep the others, nor the agent, from living.
            log.exception("a file could not be worked off")
            await self._failed(record, Problem.UNFETCHABLE)
        finally:
            del self._in_hand[record.key]
            self._refill()

    async def _tell_lost(self, key: str) -> None:
        """Nothing can be done for it, but that a person finds it."""
        try:
            log.error("nothing is known of a file that is due, or nothing that can be read")
            await self._tell_end(MediaRecord.lost(key, self._clock()))
        finally:
            del self._in_hand[key]
            self._refill()

    def _refill(self, least: int = LOOK_FOR_AT_LEAST) -> None:
        """Look for more, where there was more. Not for each file: looking costs some questions to Redis."""
        if self._full and self._fetches.waiting <= WAITING_AT_MOST // 2 and self._room >= least:
            self.poke()

    @property
    def _room(self) -> int:
        """How many more may be begun."""
        if self._bytes_ahead >= BYTES_AHEAD:
            return 0
        return min(WAITING_AT_MOST - self._fetches.waiting, FILES_AHEAD - len(self._in_hand))

    @property
    def _bytes_ahead(self) -> int:
        return sum(self._in_hand.values())

    @contextlib.asynccontextmanager
    async def _content(self, sha256: str | None) -> AsyncIterator[None]:
        """One at a time of those that have the same content: the next ones find it stored."""
        if sha256 is None:
            yield
            return
        content = self._contents.setdefault(sha256, _Content())
        content.users += 1
        try:
            async with content.lock:
                yield
        finally:
            content.users -= 1
            if not content.users:
                del self._contents[sha256]

    # -- the way of one file -----------------------------------------------------------------------------------------

    async def _carry(self, record: MediaRecord) -> None:
        if record.size is not None and record.size > self._max_bytes:
            await self._failed(record, Problem.TOO_LARGE)
            return
        stored, problem = None, None
        try:
            stored = await self._storing.stored_before(record)
            if stored is None:
                record, problem = await self._on_disk(record)
                if problem is None:
                    stored = await self._storing.store(record)
        except tuple(_PROBLEMS) as error:
            problem = _PROBLEMS[type(error)]
            log.warning("a file could not be kept", problem=problem, error=str(error))
            if isinstance(error, Corrupt | LocalFileBad):
                self._files.remove(record.key)
        if stored is None:
            await self._failed(record, problem or Problem.UNFETCHABLE)
            return
        fields = {"url": stored.url, "sha256": stored.sha256, "size": stored.size}
        record = record.changed(state=MediaState.STORED, problem=None, ended_at=self._clock(), **fields)
        await self._tell_end(record, stored.checked_at)

    async def _tell_end(self, record: MediaRecord, checked_at: float = 0.0) -> None:
        """Tell it and then remove the file: were that gone before it is certain, it would have to be fetched again."""

        def late() -> None:
            if record.key not in self._in_hand:
                self._files.remove(record.key)

        if await self._telling.media(record, self.ledger.ended(record, checked_at), late):
            self._files.remove(record.key)

    async def _on_disk(self, record: MediaRecord) -> tuple[MediaRecord, Problem | None]:
        """Its bytes are in our folder now, or why not."""
        if self._files.size(record.key) is not None:
            return record, None
        async with self._fetches.taken(record.sent_at, alone=is_suspect(record)):
            problem = await self._fetching.fetch(record)
        self._refill(least=1)  # while the store is away nothing ends, and the disk is to be used
        if problem is not None:
            return record, problem
        record = record.changed(state=MediaState.FETCHED)
        self._telling.write(self.ledger.kept(record))
        return record, None

    async def _failed(self, record: MediaRecord, problem: Problem) -> None:
        """Try again later, or give it up."""
        match after(record, problem, random.uniform(0.8, 1.2)):  # noqa: S311  # no secret
            case GivenUp(record=given_up):
                given_up = given_up.changed(state=MediaState.FAILED, ended_at=self._clock())
                log.warning("a file was given up", error=given_up.error, attempts=given_up.attempts)
                if given_up.url is not None:
                    # It was told as stored, and that is final: somebody has deleted it since, and nobody has it now.
                    given_up = given_up.changed(state=MediaState.STORED, error=None)
                await self._tell_end(given_up)
            case again:
                await self._telling.written(self.ledger.due_again(again.record, self._clock() + again.wait_s))
                self.poke()

    def _poke_when_told(self) -> None:
        """The event was queued meanwhile; this comes after it."""
        self._poke_comes = False
        self._telling.after_what_is_queued(self.poke)

    def _on_bad_disk(self, error: OSError) -> None:
        told = f"Files cannot be written to this machine's disk: {error.strerror}. They wait until that is over."
        self._telling.alert("media_disk_trouble", told)

    # -- order -------------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Remove what former lives left, but for the files that are still to be stored."""
        keys = await self.ledger.due_keys()
        if swept := self._files.sweep(keys):
            log.info("files of former lives were removed", files=swept)

    async def _forget_now_and_then(self) -> None:
        while True:
            for commands in await self._while_redis_is_away(lambda: self.ledger.forgettable(self._clock())):
                await self._telling.written(commands)
            await asyncio.sleep(FORGET_EVERY_S)

    async def _while_redis_is_away(self, work: "Callable[[], Coroutine[Any, Any, Any]]") -> Any:
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                return await work()
            except Exception as error:
                if not is_outage(error):
                    raise
                await asyncio.sleep(backoff.next_s())


class _Content:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
