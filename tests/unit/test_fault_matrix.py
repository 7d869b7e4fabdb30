"""The fault matrix itself: its rows can be tried as they stand, and its table tells what was seen."""

from pathlib import Path

import pytest

from tests.faults import table
from tests.faults.matrix import ROWS
from tests.faults.row import Outcome
from workers.memory import Rung

WHO = {"itself", "agent", "supervisord", "person"}


def test_rows_have_names_of_their_own_and_six_are_quick() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len([row for row in ROWS if row.quick_s]) == 6


def test_every_row_says_who_cures_it_and_one_that_lasts_how_it_ends() -> None:
    for row in ROWS:
        assert row.cured_by in WHO | set(Rung), row.name
        assert set(row.expected_rungs) | set(row.may) <= set(Rung), row.name
        assert (row.lasts_s is None) == (row.heal is None), row.name
        assert row.evidence or row.cured_by in {"itself", "supervisord"}, row.name


def test_the_table_has_medians_and_every_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "faults.md"
    document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "KEPT", tmp_path / "outcomes.jsonl")
    monkeypatch.setattr(table, "DOCUMENT", document)
    monkeypatch.setattr(table, "REPOSITORY", tmp_path)
    for run, took_s in enumerate((3.0, 1.0, 2.0)):
        table.keep(Outcome(row="browser killed", run=run, took_s=took_s, evidence="restarted browser"))
    table.keep(Outcome(row="page deaf", run=1, problems=("not ready within 135 s",)))
    table.keep(Outcome(row="disk full for 30 s", run=1, not_here="no mounts"))
    table.main()
    text = document.read_text()
    assert "| browser killed | restarted browser | agent | 10 | 2.0 | 3.0 | 3 of 3 good |" in text
    assert "| page deaf | nothing to be found | reload | 45 | never | never | 0 of 1 good |" in text
    assert "| disk full for 30 s | not tried: no mounts |" in text
    assert "- page deaf, try 1: not ready within 135 s\n" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text


def test_every_row_is_in_the_table() -> None:
    rows = (table.REPOSITORY / "docs/faults.md").read_text().splitlines()
    listed = {row.split("|")[1].strip() for row in rows if row.startswith("| ")} - {"fault"}
    asleep = {"everything asleep for five minutes", "everything asleep for 40 s"}  # in full, and in short
    assert listed - asleep == {row.name for row in ROWS} - asleep
    assert listed & asleep
