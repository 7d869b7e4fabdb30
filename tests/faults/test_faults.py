"""The fault matrix, row by row.

`make faults` tries every row RUNS times, each on a service of its own; `make test` six of them on one, with shortened
intervals.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench import IS_FULL, Bench
from .matrix import ROWS
from .row import Outcome, Row, World
from .table import keep
from .trial import Trial
from .worlds import NotHere

RUNS = int(os.environ.get("RUNS") or 1) if IS_FULL else 1
# Those whose names have it, for whoever works on them: FAULT='page|link'
ONLY = os.environ.get("FAULT")


def chosen() -> list[tuple[Row, int]]:
    rows = [row for row in ROWS if (re.search(ONLY, row.name) if ONLY else IS_FULL or row.quick_s)]
    return [(row, run) for run in range(1, RUNS + 1) for row in rows]


class Benches:
    """A bench for each row: the former one, where it may be shared and came through well."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._world: World | None = None
        self._bench: Bench | None = None

    def of(self, row: Row, folder: Path) -> Bench:
        if self._bench is None or row.world is not self._world:
            self.close()
            self._bench = self._open.enter_context(row.world(folder))
            self._world = row.world
        return self._bench

    def close(self, folder: Path | None = None) -> None:
        """End it; what its witness saw is left in the folder."""
        if folder is not None and self._bench is not None:
            (folder / "seen.txt").write_text(self._bench.witness.as_text())
        self._bench = None
        self._open.close()


@pytest.fixture(scope="module")
def benches() -> Iterator[Benches]:
    opened = Benches()
    yield opened
    opened.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("row", "run"), chosen(), ids=lambda one: one.name if isinstance(one, Row) else str(one))
def test_it_is_found_cured_and_nothing_is_lost(row: Row, run: int, tmp_path: Path, benches: Benches) -> None:
    outcome = try_out(row, run, tmp_path, benches)
    print(f"\n{outcome.model_dump_json()}")
    if IS_FULL or "FAULTS_KEPT" in os.environ:
        keep(outcome)
    assert outcome.not_here is None, outcome.not_here
    assert outcome.problems == ()


def try_out(row: Row, run: int, folder: Path, benches: Benches) -> Outcome:
    outcome: Outcome | None = None
    try:
        bench = benches.of(row, folder / "service")
        outcome = Trial(row, bench).outcome(run)
        return outcome
    except NotHere as reason:
        return Outcome(row=row.name, run=run, not_here=str(reason))
    except Exception as error:  # it is a row of the table all the same
        outcome = Outcome(row=row.name, run=run, problems=(f"{type(error).__name__}: {error}"[:2000],))
        return outcome
    finally:
        if IS_FULL or outcome is None or outcome.problems:
            benches.close(folder)
