"""The clock that nobody steps."""

from pathlib import Path

from workers import clock


def test_a_machine_that_does_not_tell_its_lives_apart_has_one(tmp_path: Path) -> None:
    assert clock.boot(tmp_path / "none") == clock.boot(tmp_path / "none")
    assert clock.boot() == clock.boot()
