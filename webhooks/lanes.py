"""The events in hand, dealt out to whoever posts them: of each chat one at a time, in their order.

What is about no chat is a lane of its own. When the receiver is away nothing is dealt out until a while has gone by,
and then one event alone, which finds out whether it is back.

A chat that is stuck behind an event must not take up all places: then its lane is cut, and what was cut off is read
again when it has its turn.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .outcome import History, wait_s


@dataclass
class Job:
    """One event on its way, or a dead letter that is tried again (`letter` is its id)."""

    key: str  # one event, or letter, is in hand once
    entry: str  # the event's id
    lane: str
    body: bytes
    letter: str | None = None
    attempts: int = 0  # in all its life
    is_gone: bool = False  # somebody took the letter away: it is not to be tried any more
    began_in: int = 0  # when it was taken from here: `Lanes` counts closings
    history: History = field(default_factory=History)


class Lanes:
    """For threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        lock = threading.Lock()
        self._changed = threading.Condition(lock)  # for who posts
        self._has_room = threading.Condition(lock)  # for who reads
        self._lanes: dict[str, deque[Job]] = {}
        self._ready: deque[str] = deque()  # whose first job may be taken
        self._later: list[tuple[float, int, str]] = []  # whose first job waits, and until when
        self._order = itertools.count()
        self._known: set[str] = set()
        self._written_soon: set[str] = set()
        self._under_way: dict[str, Job] = {}  # by lane; also those that were dropped meanwhile
        self._closings = 0
        self._failures = 0  # of all, in a row
        self._closed_until: float | None = None
        self._scout: Job | None = None
        self._has_ended = False

    # -- what comes in and goes out

    def add(self, job: Job) -> None:
        """At the end of its lane; nothing where it is in hand already."""
        with self._changed:
            if job.key in self._known:
                return
            self._known.add(job.key)
            lane = self._lanes.setdefault(job.lane, deque())
            lane.append(job)
            if len(lane) == 1 and job.lane not in self._under_way:
                self._ready.append(job.lane)
                self._changed.notify()

    def wait_for_room(self, at_most: int, within_s: float) -> bool:
        """Whether fewer are in hand."""
        with self._has_room:
            return self._has_room.wait_for(lambda: len(self._known) < at_most, within_s)

    def cut(self, at_most: int, spared: str) -> dict[str, str]:
        """Take away what a lane, but for `spared`, has beyond its first ones. Answers the lanes, with the first event
        that was taken away of each."""
        cut = {}
        with self._has_room:
            for name, lane in self._lanes.items():
                if len(lane) > at_most and name != spared:
                    cut[name] = lane[at_most].entry
                    while len(lane) > at_most:
                        self._known.discard(lane.pop().key)
        return cut

    def count(self, lane: str) -> int:
        """How many are in it."""
        with self._changed:
            return len(self._lanes.get(lane, ()))

    def jobs(self, lane: str) -> list[Job]:
        """What is in it."""
        with self._changed:
            return list(self._lanes.get(lane, ()))

    def forget(self, keys: Iterable[str]) -> None:
        """These are written down as done with."""
        with self._changed:
            self._known.difference_update(keys)
            self._written_soon.difference_update(keys)
            self._has_room.notify_all()

    def drop(self) -> None:
        """All that is not done with: somebody else may have it now. A lane of which one is under way begins again when
        that has come back."""
        with self._changed:
            self._lanes.clear()
            self._ready.clear()
            self._later.clear()
            self._known &= self._written_soon
            self._scout = None

    def end(self) -> None:
        """Nothing is dealt out any more."""
        with self._changed:
            self._has_ended = True

    # -- what whoever posts asks and tells

    def take(self) -> Job:
        """The next; waits for one. It stays the first of its lane, and is to come back: done, later or hold_all."""
        with self._changed:
            while True:
                now = self._clock()
                while self._later and self._later[0][0] <= now:
                    self._ready.append(heapq.heappop(self._later)[2])
                if self._ready and self._is_open(now):
                    job = self._lanes[self._ready.popleft()][0]
                    job.began_in = self._closings
                    self._under_way[job.lane] = job
                    if self._closed_until is not None:
                        self._scout = job
                    elif self._ready:
                        self._changed.notify()
                    return job
                self._changed.wait(self._until_due_s(now))

    def done(self, job: Job) -> None:
        """It has its end, though that is not written down yet."""
        with self._changed:
            self._finds_out_no_more(job)
            self._written_soon.add(job.key)
            self._known.add(job.key)  # also where it was dropped
            lane = self._lanes.get(job.lane)
            if lane and lane[0].key == job.key:  # it, or itself once more after a drop
                lane.popleft()
                if not lane:
                    del self._lanes[job.lane]
            if self._comes_back(job):
                self._ready.append(job.lane)  # whoever had it comes for the next now, and nobody need be woken

    def later(self, job: Job, after_s: float) -> None:
        """Its lane waits for so long; the others go on."""
        with self._changed:
            self._finds_out_no_more(job)
            if self._comes_back(job):
                heapq.heappush(self._later, (self._clock() + after_s, next(self._order), job.lane))
            self._changed.notify_all()

    def hold_all(self, job: Job, retry_after_s: float | None) -> None:
        """The receiver is away."""
        with self._changed:
            if self._closed_until is None or self._scout is job:  # the others were under way before that was known
                self._failures += 1
                self._closings += 1
                self._closed_until = self._clock() + wait_s(self._failures, retry_after_s)
                self._scout = None
            if self._comes_back(job):
                self._ready.append(job.lane)  # another finds out: it may be this one that nobody can answer
            self._changed.notify_all()

    def go_on(self, job: Job) -> None:
        """The receiver is there, as this one's try shows, if it began after the receiver was last known to be away:
        others that were under way then say nothing of now."""
        with self._changed:
            if job.began_in == self._closings and (self._closed_until is not None or self._failures):
                self._failures, self._closed_until, self._scout = 0, None, None
                self._changed.notify_all()

    def _is_open(self, now: float) -> bool:
        if self._has_ended:
            return False
        return self._closed_until is None or (self._scout is None and now >= self._closed_until)

    def _finds_out_no_more(self, job: Job) -> None:
        if self._scout is job:
            self._scout = None

    def _comes_back(self, job: Job) -> bool:
        """Whether its lane has something to post now."""
        if self._under_way.get(job.lane) is not job:
            return False
        del self._under_way[job.lane]
        return job.lane in self._lanes

    def _until_due_s(self, now: float) -> float | None:
        due = [self._later[0][0]] if self._later else []
        if self._closed_until is not None and self._scout is None and self._ready and not self._has_ended:
            due.append(self._closed_until)
        return max(0.0, min(due) - now) if due else None
