"""The clock that nobody steps."""

import subprocess
from pathlib import Path

from tests.harness.waiting import wait_until
from workers import clock


def test_a_machine_that_does_not_tell_its_lives_apart_has_one(tmp_path: Path) -> None:
    assert clock.boot(tmp_path / "none") == clock.boot(tmp_path / "none")
    assert clock.boot() == clock.boot()


def test_the_age_of_a_process_is_by_that_clock_whatever_it_is_called(tmp_path: Path) -> None:
    odd = tmp_path / "a ) 1 (b"
    odd.symlink_to("/bin/sleep")
    before = clock.machine_time()
    with subprocess.Popen([odd, "60"]) as process:
        after = clock.machine_time()  # it was started between the two
        try:
            wait_until(lambda: ") 1 (" in Path(f"/proc/{process.pid}/comm").read_text(), 30, "it has its name")
            wait_until(lambda: clock.machine_time() - after > 0.3, 30, "it is of some age")
            asked_at = clock.machine_time()
            age_s = clock.age_of(process.pid)
            assert age_s is not None
            assert asked_at - after - 0.1 < age_s < clock.machine_time() - before + 0.1
        finally:
            process.kill()
    assert clock.age_of(process.pid) is None
