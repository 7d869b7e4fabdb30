"""Watches the memory of the browser's processes, and has it given back before the container's limit ends us all.

Over its limit in two samples running, the page is loaded anew; where that does not help within a minute, the browser
is restarted. Both in a quiet moment, which is waited for, but not for ever. A cure is judged by what it did. A quarter
of an hour below the limit: it helped, and the next is the first again, however often a page that leaks needs it. Else
the limit may be below what the page needs, and cannot be kept so: each cure in a row waits twice as long as the one
before, and after three a person is told, once, and there is one a day. What is far over the limit is not left alone so
long, unless it was so minutes after the last cure, too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from whatsapp_contract.errors import Busy, ContractError
from whatsapp_contract.logs import get_logger

from .memory_cures import FIRST_PAUSE_S, CureMemory, Cures
from .process_tree import TreeMemory

log = get_logger(__name__)

SAMPLE_EVERY_S = 10.0
SAMPLES_OVER = 2  # in a row: one may have met a moment
EFFECT_WITHIN_S = 60.0
QUIET_WITHIN_S = 300.0
URGENT = 1.15  # of the limit: no quiet moment is waited for any more, nor a long pause
CURES_UNTIL_TOLD = 3  # in a row
HELPED_S = 900.0  # below the limit for so long: the last cure helped, and the row is over
SETTLED_S = 300.0  # after a cure the page has come up again, and shows whether that gave room
MIB = 1024 * 1024

NO_CURES = Cures()

Step = Literal["reload", "restart_browser", "alert"]


@dataclass(frozen=True)
class Situation:
    """What the next step depends on."""

    of_limit: float  # the last sample, as a part of the limit
    samples_over: int  # in a row, up to the last
    is_quiet: bool
    waited_s: float = 0.0  # for a quiet moment
    reloaded_ago_s: float | None = None  # None: or it is known already that it helped
    cures: Cures = NO_CURES
    cured_ago_s: float | None = None  # when the last of them began


def next_step(now: Situation) -> Step | None:
    """What to do about it, if anything."""
    if now.samples_over < SAMPLES_OVER:
        return None
    if now.reloaded_ago_s is not None:
        return "restart_browser" if now.reloaded_ago_s >= EFFECT_WITHIN_S and _may_begin(now, now.waited_s) else None
    ago_s = float("inf") if now.cured_ago_s is None else now.cured_ago_s
    if now.cures.count >= CURES_UNTIL_TOLD and not now.cures.is_told:
        return "alert" if ago_s >= FIRST_PAUSE_S else None  # a page that comes up may take more than later
    due_for_s = ago_s - now.cures.pause_s(now.of_limit >= URGENT)
    return "reload" if due_for_s >= 0 and _may_begin(now, min(now.waited_s, due_for_s)) else None


def _may_begin(now: Situation, waited_s: float) -> bool:
    return now.is_quiet or waited_s >= QUIET_WITHIN_S or now.of_limit >= URGENT


class MemoryWatch:
    """One per agent. Facts are read from it: `bytes`, `seen_at` (loop time), `limit_bytes` (None: there is none).

    `measure` is called in a thread; `take` carries a step out and may raise a ContractError. Busy is tried again, any
    other means that the step did not help. `clock` is the event loop's where none is given.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        measure: Callable[[], TreeMemory | None],
        is_quiet: Callable[[], bool],
        take: Callable[[Step], Awaitable[None]],
        cures: CureMemory,
        every_s: float = SAMPLE_EVERY_S,
        epoch: Callable[[], float] = time.time,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.bytes: int | None = None
        self.seen_at: float | None = None
        self.limit_bytes = limit_bytes
        self._measure = measure
        self._is_quiet = is_quiet
        self._take = take
        self._cures = cures
        self._every_s = every_s
        self._epoch = epoch
        self._clock = clock or asyncio.get_running_loop().time
        self._samples_over = 0
        self._due_since: float | None = None
        self._reloaded_at: float | None = None
        self._below_since: float | None = None
        self._told_inexact = False

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Take a sample, and the step that it leads to."""
        self._sampled(await asyncio.to_thread(self._measure))
        await self._judge_the_last_cure()
        if (step := await self._next_step()) is not None:
            await self._carry_out(step)

    def _sampled(self, memory: TreeMemory | None) -> None:
        if memory is None:  # no browser: what was known of the last one is over
            self.bytes = self.seen_at = self._below_since = None
            self._samples_over = 0
            return
        self.bytes, self.seen_at = memory.bytes, self._clock()
        if not memory.is_exact and not self._told_inexact:
            self._told_inexact = True
            log.info("the browser's memory is reckoned without what its processes share; the kernel does not tell")
        is_over = self.limit_bytes is not None and memory.bytes > self.limit_bytes
        self._samples_over = self._samples_over + 1 if is_over else 0
        if is_over:
            self._below_since = None
        elif self._below_since is None:
            self._below_since = self.seen_at

    async def _judge_the_last_cure(self) -> None:
        if self.bytes is None or self.limit_bytes is None or not (cures := await self._cures.read()).count:
            return
        has_settled = (cures.last_ago_s(self._epoch()) or 0.0) >= SETTLED_S
        if self._below_since is not None and self._clock() - self._below_since >= HELPED_S:
            await self._cures.write(NO_CURES)
        elif has_settled and not cures.gave_room and self.bytes < self.limit_bytes * URGENT:
            await self._cures.write(cures.with_room_given())

    async def _next_step(self) -> Step | None:
        if self.limit_bytes is None or self.bytes is None:
            return None
        now = self._clock()
        reloaded_ago_s = None if self._reloaded_at is None else now - self._reloaded_at
        if reloaded_ago_s is not None and reloaded_ago_s >= EFFECT_WITHIN_S and not self._samples_over:
            log.info("loading the page anew gave its memory back", bytes=self.bytes)
            reloaded_ago_s = self._reloaded_at = None
        if self._samples_over < SAMPLES_OVER or (reloaded_ago_s is not None and reloaded_ago_s < EFFECT_WITHIN_S):
            self._due_since = None
        elif self._due_since is None:
            self._due_since = now
            log.warning("the browser takes more memory than it may", bytes=self.bytes, limit_bytes=self.limit_bytes)
        cures = await self._cures.read() if self._samples_over >= SAMPLES_OVER else NO_CURES
        return next_step(
            Situation(
                of_limit=self.bytes / self.limit_bytes,
                samples_over=self._samples_over,
                is_quiet=self._is_quiet(),
                waited_s=0.0 if self._due_since is None else now - self._due_since,
                reloaded_ago_s=reloaded_ago_s,
                cures=cures,
                cured_ago_s=cures.last_ago_s(self._epoch()),
            )
        )

    async def _carry_out(self, step: Step) -> None:
        before = await self._cures.read()
        if step == "reload":  # noted before it is done, whatever becomes of this process meanwhile
            await self._cures.write(before.with_one_more(self._epoch()))
        try:
            await self._take(step)
        except Busy:
            await self._cures.write(before)
            return  # another operation came first; the next sample finds it done
        except ContractError as error:
            log.warning("memory could not be won back", step=step, code=error.code, error=str(error))
        if step == "alert":
            await self._cures.write(before.with_person_told())
        self._reloaded_at = self._clock() if step == "reload" else None
        self._due_since = None
