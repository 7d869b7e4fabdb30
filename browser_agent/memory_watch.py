"""Watches the memory of the browser's processes, and has it given back before the container's limit ends us all.

Over its limit in two samples running, the page is loaded anew; where that does not help within a minute, the browser
is restarted. Both in a quiet moment, which is waited for, but not for ever. What cannot be cured so is told to a
person.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from whatsapp_contract.errors import Busy, ContractError
from whatsapp_contract.logs import get_logger

from .process_tree import TreeMemory

log = get_logger(__name__)

SAMPLE_EVERY_S = 10.0
SAMPLES_OVER = 2  # in a row: one may have met a moment
EFFECT_WITHIN_S = 60.0
QUIET_WITHIN_S = 300.0
URGENT = 1.15  # of the limit: no quiet moment is waited for any more
BETWEEN_CURES_S = 600.0
CURES_AT_MOST, CURES_WINDOW_S = 3, 3600.0
MIB = 1024 * 1024

Step = Literal["reload", "restart_browser", "alert"]


@dataclass(frozen=True)
class Situation:
    """What the next step depends on."""

    of_limit: float  # the last sample, as a part of the limit
    samples_over: int  # in a row, up to the last
    is_quiet: bool
    waited_s: float = 0.0  # for a quiet moment
    reloaded_ago_s: float | None = None  # None: or it is known already that it helped
    cures_ago_s: tuple[float, ...] = ()  # how long ago each began
    alerted_ago_s: float | None = None


def next_step(now: Situation) -> Step | None:
    """What to do about it, if anything."""
    if now.samples_over < SAMPLES_OVER:
        return None
    if now.reloaded_ago_s is not None:
        return "restart_browser" if now.reloaded_ago_s >= EFFECT_WITHIN_S and _may_begin(now) else None
    recent = [ago for ago in now.cures_ago_s if ago < CURES_WINDOW_S]
    if len(recent) >= CURES_AT_MOST:
        is_told = now.alerted_ago_s is not None and now.alerted_ago_s < CURES_WINDOW_S
        return None if is_told else "alert"
    if recent and min(recent) < BETWEEN_CURES_S:
        return None
    return "reload" if _may_begin(now) else None


def _may_begin(now: Situation) -> bool:
    return now.is_quiet or now.waited_s >= QUIET_WITHIN_S or now.of_limit >= URGENT


class MemoryWatch:
    """One per agent. Facts are read from it: `bytes`, `seen_at` (loop time), `limit_bytes` (None: there is none).

    `measure` is called in a thread; `take` carries a step out and may raise a ContractError. Busy is tried
    again, any other means that the step did not help.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        measure: Callable[[], TreeMemory | None],
        is_quiet: Callable[[], bool],
        take: Callable[[Step], Awaitable[None]],
        every_s: float = SAMPLE_EVERY_S,
    ) -> None:
        self.bytes: int | None = None
        self.seen_at: float | None = None
        self.limit_bytes = limit_bytes
        self._measure = measure
        self._is_quiet = is_quiet
        self._take = take
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._samples_over = 0
        self._due_since: float | None = None
        self._reloaded_at: float | None = None
        self._cures: deque[float] = deque(maxlen=CURES_AT_MOST)
        self._alerted_at: float | None = None
        self._told_inexact = False

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            self._sampled(await asyncio.to_thread(self._measure))
            if (step := self._next_step()) is not None:
                await self._carry_out(step)

    def _sampled(self, memory: TreeMemory | None) -> None:
        if memory is None:  # no browser: what was known of the last one is over
            self.bytes = self.seen_at = None
            self._samples_over = 0
            return
        self.bytes, self.seen_at = memory.bytes, self._loop.time()
        if not memory.is_exact and not self._told_inexact:
            self._told_inexact = True
            log.info("the browser's memory is reckoned without what its processes share; the kernel does not tell")
        is_over = self.limit_bytes is not None and memory.bytes > self.limit_bytes
        self._samples_over = self._samples_over + 1 if is_over else 0

    def _next_step(self) -> Step | None:
        if self.limit_bytes is None or self.bytes is None:
            return None
        now = self._loop.time()
        reloaded_ago_s = None if self._reloaded_at is None else now - self._reloaded_at
        if reloaded_ago_s is not None and reloaded_ago_s >= EFFECT_WITHIN_S and not self._samples_over:
            log.info("loading the page anew gave its memory back", bytes=self.bytes)
            reloaded_ago_s = self._reloaded_at = None
        if self._samples_over < SAMPLES_OVER or (reloaded_ago_s is not None and reloaded_ago_s < EFFECT_WITHIN_S):
            self._due_since = None
        elif self._due_since is None:
            self._due_since = now
            log.warning("the browser takes more memory than it may", bytes=self.bytes, limit_bytes=self.limit_bytes)
        return next_step(
            Situation(
                of_limit=self.bytes / self.limit_bytes,
                samples_over=self._samples_over,
                is_quiet=self._is_quiet(),
                waited_s=0.0 if self._due_since is None else now - self._due_since,
                reloaded_ago_s=reloaded_ago_s,
                cures_ago_s=tuple(now - begun for begun in self._cures),
                alerted_ago_s=None if self._alerted_at is None else now - self._alerted_at,
            )
        )

    async def _carry_out(self, step: Step) -> None:
        begun = self._loop.time()
        try:
            await self._take(step)
        except Busy:
            return  # another operation came first; the next sample finds it done
        except ContractError as error:
            log.warning("memory could not be won back", step=step, code=error.code, error=str(error))
        if step == "alert":
            self._alerted_at = begun
        elif step == "reload":
            self._cures.append(begun)
            self._reloaded_at = self._loop.time()
        else:
            self._reloaded_at = None
        self._due_since = None
