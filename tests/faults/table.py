"""The table of docs/faults.md, from what every try came to. `python -m tests.faults.table` writes it."""

from __future__ import annotations

import os
import statistics
from datetime import UTC, datetime
from pathlib import Path

from .matrix import ROWS
from .row import Outcome, Row

REPOSITORY = Path(__file__).parents[2]
KEPT = Path(os.environ.get("FAULTS_KEPT") or REPOSITORY / ".faults" / "outcomes.jsonl")
DOCUMENT = REPOSITORY / "docs" / "faults.md"
BEGIN, END = "<!-- table: written by `make faults` -->", "<!-- end of the table -->"
HEAD = "| fault | found by | cured by | allowed | median | worst | tries |\n|---|---|---|---|---|---|---|\n"


def keep(outcome: Outcome) -> None:
    """Add a try to those that the table is made of; several processes may."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with KEPT.open("a") as file:
        file.write(outcome.model_dump_json() + "\n")


def main() -> None:
    outcomes = [Outcome.model_validate_json(line) for line in KEPT.read_text().splitlines()]
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{_table(outcomes)}{END}{after}")
    print(f"{DOCUMENT.relative_to(REPOSITORY)}: {len(outcomes)} tries")


def _table(outcomes: list[Outcome]) -> str:
    lines = [_line(row, [one for one in outcomes if one.row == row.name]) for row in ROWS]
    day = datetime.now(UTC).date()
    return f"\n{len(outcomes)} tries, {day}. Times in seconds.\n\n{HEAD}{''.join(lines)}\n{_problems(outcomes)}"


def _line(row: Row, tries: list[Outcome]) -> str:
    allowed = f"{row.within_s:g}" + (" from its end" if row.lasts_s else "")
    if not tries:
        return f"| {row.name} | | | {allowed} | | | none |\n"
    if missing := next((one.not_here for one in tries if one.not_here), None):
        return f"| {row.name} | not tried: {missing} | | {allowed} | | | none |\n"
    times = [one.took_s for one in tries if one.took_s is not None]
    good = sum(not one.problems for one in tries)
    found = sorted({one.evidence for one in tries if one.evidence}) or ["nothing to be found"]
    rungs = sorted({", ".join(one.rungs) for one in tries if one.rungs})
    cured = row.cured_by if row.cured_by in rungs or not rungs else f"{row.cured_by} ({'; '.join(rungs)})"
    median = f"{statistics.median(times):.1f}" if times else "never"
    worst = f"{max(times):.1f}" if len(times) == len(tries) else "never"
    cells = (row.name, "; ".join(found), cured, allowed, median, worst, f"{good} of {len(tries)} good")
    return f"| {' | '.join(cells)} |\n"


def _problems(outcomes: list[Outcome]) -> str:
    lines = [f"- {one.row}, try {one.run}: {problem}\n" for one in outcomes for problem in one.problems]
    return "What was not as it must be:\n\n" + "".join(lines) + "\n" if lines else "Every try was as it must be.\n\n"


if __name__ == "__main__":
    main()
