"""Writes down what became of events: one thread for each webhook, all that has come together in one step.

Each step may be carried out twice, as after an answer of Redis' that was lost, without harm but for a count of tries.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatsapp_contract import event_script
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.webhooks import DeadLetter

from . import scripts, telling
from .hook import Hook
from .lanes import Lanes

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

LETTERS_AT_MOST = 1000
SERIES_S = 3600.0  # letters that come no further apart are told once
UNREACHABLE_AFTER_S = 600.0
AT_ONCE = 500
GATHERED_S = 0.005  # for so long, so that a step has more than one


@dataclass(frozen=True)
class Taken:
    """An event got through; or a dead letter did, which is none any more."""

    key: str
    letter: str | None


@dataclass(frozen=True)
class Passed:
    """Events that are not to be delivered."""

    ids: list[str]


@dataclass(frozen=True)
class Failed:
    """A try. `holds` where all wait for it."""

    error: str
    holds: bool


@dataclass(frozen=True)
class Buried:
    """An event was given up."""

    key: str
    letter: DeadLetter
    entry: str  # "" where it was a dead letter before


Note = Taken | Passed | Failed | Buried


class Scribe:
    """Of one webhook."""

    def __init__(self, redis: "redis.Redis", names: SessionNames, hook: Hook, lanes: Lanes) -> None:
        self._redis, self._names, self._hook, self._lanes = redis, names, hook, lanes
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._counting = threading.Condition()
        self._unwritten = 0
        self._backoff = Backoff(0.1, 5.0)
        self._is_failing = False

    def note(self, note: Note) -> None:
        """Have it written down, in the order in which notes come."""
        with self._counting:
            self._unwritten += 1
        self._notes.put(note)

    def wait_written(self, within_s: float) -> bool:
        """Whether all notes are, by then."""
        with self._counting:
            return self._counting.wait_for(lambda: not self._unwritten, within_s)

    def dead_in_a_row(self) -> int:
        """How many events were given up since one got through, in whichever life of this process."""
        return int(self._asked(lambda: self._redis.hget(self._names.webhooks, f"{self._hook.id}.dead_in_a_row")) or 0)

    def run(self) -> None:
        """For ever, through every outage of Redis."""
        while True:
            notes = [self._notes.get()]
            time.sleep(GATHERED_S)
            while len(notes) < AT_ONCE and not self._notes.empty():
                notes.append(self._notes.get())
            self._write(notes)
            with self._counting:
                self._unwritten -= len(notes)
                self._counting.notify_all()

    def _write(self, notes: list[Note]) -> None:
        """Events that got through between two failures are written together."""
        taken: list[Taken] = []
        passed: list[str] = []
        for note in notes:
            if isinstance(note, Passed):
                passed += note.ids
            elif isinstance(note, Taken) and note.letter is None:
                taken.append(note)
            else:
                self._write_taken(taken, [])
                taken = []
                if isinstance(note, Taken):
                    self._write_replayed(note)
                elif isinstance(note, Failed):
                    self._write_failed(note)
                else:
                    self._write_buried(note)
        for start in range(0, max(1, len(passed)), AT_ONCE):
            self._write_taken(taken, passed[start : start + AT_ONCE])
            taken = []

    def _write_taken(self, taken: list[Taken], passed: list[str]) -> None:
        if not taken and not passed:
            return
        keys = [note.key for note in taken]
        head = [self._hook.group, self._hook.id, self._now(), str(len(passed))]
        self._script(scripts.TAKEN_LUA, [self._names.events, self._names.webhooks], [*head, *passed, *keys])
        if keys:
            self._tell_well()
        self._lanes.forget(keys)

    def _write_replayed(self, note: Taken) -> None:
        self._script(scripts.REPLAYED_LUA, self._letter_keys(), [self._hook.id, str(note.letter), self._now()])
        self._tell_well()
        self._lanes.forget([note.key])
        log.info("a dead letter was taken", webhook=self._hook.host, id=note.letter)

    def _write_failed(self, note: Failed) -> None:
        args = [self._hook.id, note.error, self._now(), "1" if note.holds else ""]
        since: Any = self._script(scripts.FAILED_LUA, [self._names.webhooks], args)
        if not note.holds:
            return
        if not self._is_failing:
            log.warning("a webhook fails; its events wait", webhook=self._hook.host, error=note.error)
        self._is_failing = True
        if time.time() - float(since) >= UNREACHABLE_AFTER_S:
            self._alert(telling.unreachable(self._hook, note.error, float(since)), f"{since}")

    def _write_buried(self, note: Buried) -> None:
        args = [
            *(self._hook.group, self._hook.id, note.entry, note.letter.id, note.letter.model_dump_json()),
            *(self._now(), str(LETTERS_AT_MOST), str(SERIES_S)),
        ]
        since, lost = self._script(scripts.BURY_LUA, [*self._letter_keys(), self._names.events], args)
        self._lanes.forget([note.key])
        if not since:
            return
        log.warning(
            "a webhook refuses an event, which becomes a dead letter",
            webhook=self._hook.host,
            id=note.letter.id,
            reason=note.letter.reason,
        )
        self._alert(telling.dead_letters(self._hook, note.letter.reason), since)
        if lost:
            self._alert(telling.letters_lost(self._hook, LETTERS_AT_MOST), since)

    def _letter_keys(self) -> list[str]:
        names, hook = self._names, self._hook.id
        return [names.webhooks, names.webhook_dead(hook), names.webhook_letters(hook), names.webhook_replays(hook)]

    def _alert(self, data: AlertData, since: str) -> None:
        """Once for all that began then, whichever process tells it."""
        claim = f"{data.code}:{self._hook.id}:{since}"
        self._asked(lambda: event_script.publish(self._redis, self._names, EventType.ALERT.value, data, claim=claim))

    def _tell_well(self) -> None:
        if self._is_failing:
            log.info("a webhook works again", webhook=self._hook.host)
        self._is_failing = False

    def _now(self) -> str:
        return f"{time.time():.3f}"

    def _script(self, script: str, keys: list[str], args: list[str]) -> Any:
        return self._asked(lambda: self._redis.eval(script, len(keys), *keys, *args))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """The answer, however long Redis is away: the reader says that it is."""
        while True:
            try:
                answer = ask()
            except Exception as error:
                if not is_outage(error):
                    raise
                time.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                return answer
