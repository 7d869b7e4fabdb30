"""Restarts in a row, of the browser and of the agent, by all means: nothing of those before is left, nothing grows.

`make soak` runs 200: first of the browser alone, in one life of the agent, whose memory must stay as it is, as that of
our other processes; then of both in turn.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

from browser_agent.process_tree import marked
from tests.harness.service import COMMAND, REPOSITORY, SESSION, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

IS_LONG = os.environ.get("SOAK") == "long"
COUNT = int(os.environ.get("SOAK_RESTARTS") or (200 if IS_LONG else 4))
OF_THE_BROWSER = ("restart_browser", "kill_browser")
OF_ALL = ("kill_agent", "restart_browser", "supervisorctl_restart", "kill_browser")
OURS = ("browser-agent", "worker", "scheduler", "web")
READY_WITHIN_S = 90.0
# Until then caches fill and modules are imported.
SETTLED_AFTER = 20
GROWTH_AT_MOST = 0.05
MIB = 2**20


@pytest.fixture
def tmp() -> Iterator[Path]:
    """What the service takes for the system's folder of temporary files; a socket's path in it must be short."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(240 + 30 * COUNT)
def test_restarts(tmp_path: Path, tmp: Path) -> None:
    with (
        WhatsAppWeb(keepalive_s=2, reconnect_first_ms=200) as whatsapp,
        Service(tmp_path, whatsapp.url, START_BUDGET="10000", TMPDIR=str(tmp)) as service,
    ):
        whatsapp.scan(service.wait_event("qr").data["payload"])
        scanned = str(service.wait_event("ready").id)
        restarts = Restarts(service, tmp)
        restarts.run(islice(cycle(OF_THE_BROWSER), COUNT * 3 // 5))
        delivered = [whatsapp.deliver_text("between the two")]
        restarts.run(islice(cycle(OF_ALL), COUNT - restarts.done))
        delivered.append(whatsapp.deliver_text("in the end"))
        print(restarts.figures())
        restarts.finish()
        wait_until(lambda: set(delivered) <= restarts.messages_since(scanned), 60, "the messages came")
        assert service.events("qr", after=scanned) == []
        restarts.must_be_flat()


class Restarts:
    """Carries restarts out, and looks after each that nothing is left of what was before."""

    def __init__(self, service: Service, tmp: Path) -> None:
        self.done = 0
        self._service = service
        self._tmp = tmp
        self._took_s: dict[str, list[float]] = {}
        self._memory: dict[tuple[str, int], list[tuple[int, int]]] = {}  # a program's one life: which restart, bytes
        self._commands: list[subprocess.Popen[bytes]] = []
        self._fugitives: list[subprocess.Popen[bytes]] = []

    def run(self, means: Iterator[str]) -> None:
        for name in means:
            self._restart(name)

    def finish(self) -> None:
        """All commands have come to their end."""
        assert [command.wait(90) for command in self._commands] == [0] * len(self._commands)

    def messages_since(self, event_id: str) -> set[str]:
        return {event.data["key"] for event in self._service.events("message", after=event_id)}

    def _restart(self, name: str) -> None:
        service = self._service
        before = service.browser_processes()
        agent = service.program("browser-agent").pid
        mark = service.last_event_id()
        restart: Callable[[], None] = getattr(self, "_" + name)
        started = time.monotonic()
        restart()
        service.wait_event("ready", after=mark, within_s=READY_WITHIN_S)
        self._took_s.setdefault(name, []).append(time.monotonic() - started)
        self.done += 1
        assert all(fugitive.poll() is not None for fugitive in self._fugitives), f"one got away at {self.done}"
        left = [process for process in before if _runs(process)]
        assert not left, f"after {name}, restart {self.done}: {left}"
        wait_until(lambda: not self._zombies(), 20, f"no zombie is left after {name}, restart {self.done}")
        assert len(self._temporary()) == 1, f"after {name}, restart {self.done}: {self._temporary()}"
        # What it has just begun to start looks like itself for a moment.
        wait_until(
            lambda: len([process for process in service.browser_processes() if _is_main(process)]) == 1,
            10,
            f"one browser after {name}, restart {self.done}",
        )
        if name in OF_THE_BROWSER:
            assert agent == service.program("browser-agent").pid, f"{name} took the agent with it"
            self._measure()

    def _measure(self) -> None:
        pids = {"supervisord": self._service.pid} | {program: self._service.program(program).pid for program in OURS}
        for life in pids.items():
            self._memory.setdefault(life, []).append((self.done, _own_memory(life[1])))

    # -- the means ---------------------------------------------------------------------------------------------------

    def _restart_browser(self) -> None:
        self._service.client.call("restart_browser", {"cause": "soak"})

    def _kill_browser(self) -> None:
        next(process for process in self._service.browser_processes() if _is_main(process)).kill()

    def _kill_agent(self) -> None:
        self.finish()  # a command that still looks would find the agent killed
        agent = self._agent_that_counts()
        self._fugitives.append(self._fugitive())
        os.kill(agent, signal.SIGKILL)

    def _fugitive(self) -> subprocess.Popen[bytes]:
        """As if the browser had started it: a session of its own, a parent that is none of the browser's, and deaf to
        whatever can be ignored. Only what it inherited tells whose it is."""
        profile = self._service.data_dir / "sessions" / SESSION / "profile"
        script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(120)"
        fugitive = subprocess.Popen(
            [sys.executable, "-S", "-c", script],
            env={**os.environ, **marked(profile)},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert fugitive.stdout is not None
        fugitive.stdout.readline()
        fugitive.stdout.close()
        return fugitive

    def _supervisorctl_restart(self) -> None:
        # It waits until the new agent counts as running, long after it is ready.
        command = subprocess.Popen(
            [COMMAND.parent / "supervisorctl", "restart", "browser-agent"],
            env={"PATH": os.environ["PATH"], "RUN_DIR": str(self._service.run_dir)},
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
        )
        self._commands.append(command)

    # -- what is there -----------------------------------------------------------------------------------------------

    def _agent_that_counts(self) -> int:
        """Its process id, when supervisord takes its start for a success: after three that are none it gives up."""
        program = self._service.program
        wait_until(lambda: program("browser-agent").name == "RUNNING", 60, "the agent runs for some seconds")
        return program("browser-agent").pid

    def _zombies(self) -> list[psutil.Process]:
        tree = psutil.Process(self._service.pid).children(recursive=True)
        return [process for process in tree if _status(process) == psutil.STATUS_ZOMBIE]

    def _temporary(self) -> list[str]:
        """Folders and files of browsers, of whichever."""
        names = (path.name for path in self._tmp.iterdir())
        return [name for name in names if name.startswith("wa-browser-") or "hromium" in name]

    # -- in the end --------------------------------------------------------------------------------------------------

    def figures(self) -> str:
        times = {
            name: f"{len(took)} times, median {statistics.median(took):.2f} s, worst {max(took):.2f} s"
            for name, took in self._took_s.items()
        }
        memory = {
            program: ", ".join(f"{number}: {size / MIB:.1f}" for number, size in series[:: max(1, len(series) // 12)])
            for program, series in self._longest().items()
        }
        return f"\n{self.done} restarts: {times}\nOwn memory of one life in MiB, by restart: {memory}"

    def must_be_flat(self) -> None:
        """The memory of each program's one life that saw enough restarts of the browser."""
        for program, measured in self._longest().items():
            series = [size for number, size in measured if number >= SETTLED_AFTER]
            if not IS_LONG and len(series) < 10:
                continue  # too few to say anything; the long run has them
            early, late = statistics.median(series[:5]), statistics.median(series[-5:])
            assert late <= early * (1 + GROWTH_AT_MOST), (
                f"{program}: {early / MIB:.1f} MiB became {late / MIB:.1f} MiB"
            )

    def _longest(self) -> dict[str, list[tuple[int, int]]]:
        """By program, its life that was measured most often."""
        longest: dict[str, list[tuple[int, int]]] = {}
        for (program, _pid), series in self._memory.items():
            longest[program] = max(longest.get(program, []), series, key=len)
        return longest


def _own_memory(pid: int) -> int:
    """Bytes that are its own: of what is mapped from files others have a part, which grows as they come to an end."""
    own = ("Pss_Anon:", "SwapPss:")
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(own))


def _is_main(process: psutil.Process) -> bool:
    try:
        return not any(argument.startswith("--type=") for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and _status(process) not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
