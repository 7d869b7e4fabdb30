"""Whose memory is ours: supervisord's and its programs', with what they have started, and never the browser's."""

import os
from pathlib import Path

import pytest

from web.own_memory import OwnMemory

TOP, WEB = os.getppid(), os.getpid()
KIB = 1024


class Proc:
    """A /proc of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.memory = OwnMemory(folder, lambda: self.now)

    def add(self, pid: int, parent: int, kib: int, comm: str = "python", **environ: str) -> None:
        here = self.folder / str(pid)
        here.mkdir()
        (here / "stat").write_text(f"{pid} (a (strange) name) S {parent} 1 1 0")
        rollup = f"0-f ---p 0 0:0 0 [rollup]\nRss: 9999 kB\nPss: {kib} kB\nPss_Dirty: 1 kB\n"
        (here / "smaps_rollup").write_text(rollup)
        (here / "statm").write_text("100 7 1 1 0 1 0")
        (here / "comm").write_text(comm + "\n")
        (here / "environ").write_bytes(b"".join(f"{k}={v}\0".encode() for k, v in {"PATH": "/", **environ}.items()))

    def supervised(self) -> None:
        self.add(TOP, 0, 20)
        self.add(WEB, TOP, 45, SUPERVISOR_PROCESS_NAME="web")
        self.add(700001, TOP, 40, SUPERVISOR_PROCESS_NAME="browser-agent")
        self.add(700002, 700001, 3, SUPERVISOR_PROCESS_NAME="browser-agent")  # it packs a session
        browser = {"SUPERVISOR_PROCESS_NAME": "browser-agent", "WHATSAPP_BROWSER_OF": "/data/profile"}
        self.add(700003, 700001, 5000, **browser)
        self.add(700004, 700003, 5000)  # a child of the browser's
        self.add(700005, 1, 5000, SUPERVISOR_PROCESS_NAME="worker")  # of another container, on the same machine


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_each_program_has_its_own_and_its_children_s_without_the_browser(proc: Proc) -> None:
    proc.supervised()
    assert proc.memory.read() == {"supervisord": 20 * KIB, "web": 45 * KIB, "browser-agent": 43 * KIB}


def test_a_redis_that_wrote_over_its_environment_is_known_by_its_name(proc: Proc) -> None:
    proc.supervised()
    proc.add(700006, TOP, 8, comm="redis-server")
    (proc.folder / "700006/environ").write_bytes(b"")
    assert proc.memory.read()["redis"] == 8 * KIB


def test_without_supervisord_it_tells_of_itself(proc: Proc) -> None:
    proc.add(TOP, 0, 20)
    proc.add(WEB, TOP, 45)
    proc.add(700007, TOP, 99)  # somebody else's child
    assert proc.memory.read() == {"web": 45 * KIB}


def test_where_the_kernel_does_not_tell_it_is_what_is_resident(proc: Proc) -> None:
    proc.supervised()
    (proc.folder / str(WEB) / "smaps_rollup").unlink()
    assert proc.memory.read()["web"] == 7 * os.sysconf("SC_PAGE_SIZE")


def test_it_is_looked_at_every_ten_seconds_at_most(proc: Proc) -> None:
    proc.supervised()
    before = proc.memory.read()
    (proc.folder / str(WEB) / "smaps_rollup").write_text("Pss: 99 kB\n")
    proc.now += 9.9
    assert proc.memory.read() == before
    proc.now += 0.2
    assert proc.memory.read()["web"] == 99 * KIB


def test_this_process_is_measured_as_it_is() -> None:
    found = OwnMemory().read()
    assert 1024 * 1024 < found["web"] < 2**34
