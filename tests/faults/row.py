"""What a row of the fault matrix is, and what came of trying it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from .bench import Bench
from .faults import Fault
from .worlds import plain

World = Callable[[Path], AbstractContextManager[Bench]]


class Row(BaseModel):
    """A fault, and what must come of it.

    It is in place when `inject` returns. Where it does not end by itself it is left alone for `lasts_s`, or
    until its evidence was seen, and then ended by `heal`; the time allowed counts from its end then. `evidence` is
    what the witness must see, in its words; any of them. `rungs` are those that the ladder must take, and no other.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    inject: Fault
    evidence: tuple[str, ...]  # none: there is nothing to be seen, and nothing may be done
    cured_by: str  # a rung; else who: itself, agent, supervisord, person
    within_s: float  # with the intervals as a user has them
    quick_s: float | None = None  # a row of `make test`, with shortened intervals, on a machine that is busy
    lasts_s: float | None = None
    until_seen: bool = False
    heal: Fault | None = None
    rungs: tuple[str, ...] | None = None  # null: the one of `cured_by`, if it is one
    may: tuple[str, ...] = ()  # rungs that may be taken besides: a check may, or may not, come meanwhile
    is_fault: bool = True  # else its evidence is that of a day on which nothing is wrong, and no incident
    ends: tuple[str, ...] = ()  # what the fault itself ends, of the programs and the browser
    world: World = plain

    @property
    def expected_rungs(self) -> tuple[str, ...]:
        if self.rungs is not None:
            return self.rungs
        return () if self.cured_by in ("itself", "agent", "supervisord", "person") else (self.cured_by,)


class Outcome(BaseModel):
    """One try, as it is kept for the table. `took_s` is null where it was not ready in time."""

    row: str
    run: int
    took_s: float | None = None
    evidence: str = ""
    found_s: float | None = None  # from the fault to its evidence
    rungs: tuple[str, ...] = ()
    repeats: int = 0  # of messages, to be dropped by their key
    problems: tuple[str, ...] = ()  # what must not have been
    not_here: str | None = None
