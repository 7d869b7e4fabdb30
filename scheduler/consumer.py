"""Huey's scheduler made second-grained.

Huey's own looks once a minute; run once a second it starts ticks up to a second late, loses ticks behind a slow
read, and two of them double every tick (measured with 3.5). This one wakes on each whole second and enqueues what is
due since the last second it has done, once for however many schedulers there are. What was missed for longer than
CATCH_UP_S is dropped: a check of a minute ago tells nothing.
"""

import time
from typing import Any, ClassVar

from huey import Huey
from huey.consumer import Consumer, Scheduler

from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import is_outage

from .schedule import Entry

log = get_logger(__name__)

CATCH_UP_S = 5
# Long enough for two schedulers to meet, short enough that a clock set back by an hour does not stop the ticks.
TICK_KEY_KEPT_S = 30


class SecondScheduler(Scheduler):  # type: ignore[misc]  # Huey is untyped
    """Set `names` and `entries` on a subclass; Huey makes the instance."""

    names: ClassVar[InstanceNames]
    entries: ClassVar[list[Entry]]

    def initialize(self) -> None:
        self._done_until = int(self.clock())
        self._away = False

    def clock(self) -> float:
        """Epoch seconds."""
        return time.time()

    def loop(self, now: Any = None) -> None:
        """One second's work; called again and again by the consumer."""
        self._move_due_tasks()
        self.stop_flag.wait(1 - self.clock() % 1)
        current = int(self.clock())
        if current < self._done_until:  # the clock was set back
            self._done_until = current - 1
        for second in range(max(self._done_until + 1, current - CATCH_UP_S + 1), current + 1):
            for entry in self.entries:
                if entry.cron.matches(second):
                    self._enqueue_once(entry, second)
        self._done_until = current

    def _enqueue_once(self, entry: Entry, second: int) -> None:
        task = entry.task.s()
        task.id = f"{entry.name}:{second}"  # the worker reads it (workers/tasks.py)
        try:
            key = self.names.tick(entry.name, second)
            if self.huey.storage.conn.set(key, "1", nx=True, ex=TICK_KEY_KEPT_S):
                self.huey.enqueue(task)
        except Exception as error:
            self._lost(error)
            return
        if self._away:
            self._away = False
            log.info("ticks are enqueued again")

    def _move_due_tasks(self) -> None:
        """Delayed tasks whose time has come, as Huey's own scheduler does."""
        try:
            for task in self.huey.read_schedule():
                self.huey.enqueue(task)
        except Exception as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """An outage costs the ticks that fall into it, nothing else."""
        if not is_outage(error):
            raise error
        if not self._away:
            log.warning("ticks are lost while Redis is away", error=str(error))
        self._away = True


def create_scheduling_consumer(huey: Huey, names: InstanceNames, entries: list[Entry]) -> Consumer:
    """A Huey consumer that only schedules."""

    class _Scheduler(SecondScheduler):
        pass

    class _Consumer(Consumer):  # type: ignore[misc]  # Huey is untyped
        scheduler_class = _Scheduler

    _Scheduler.names, _Scheduler.entries = names, entries
    return _Consumer(huey, workers=0, periodic=True, graceful_signal="TERM", shutdown_timeout=2)
