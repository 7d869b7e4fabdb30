"""The whole service under supervisord, as a user starts it, with everything a test wants to know of it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import redis

from tests.whatsapp_web import processes
from whatsapp_contract.client import AgentClient, event_from_entry
from whatsapp_contract.events import Event
from whatsapp_contract.redis_connection import connect
from whatsapp_contract.status import Status
from workers.process_control import ProcessControl, ProcessState, SupervisorUnavailable

from .ports import free_port
from .waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "whatsapp-container"
SESSION, INSTANCE = "test-session", "test-instance"
PROGRAMS = ("redis", "web", "scheduler", "worker", "browser-agent")  # and webhooks, where WEBHOOK_URL is set
AROUND = ("web", "scheduler", "worker")  # what an agent that nobody asks and nothing ails does not need


class Service:
    """A context manager. Variables given as keywords go to the service's environment. Programs that a test does not
    need it may go `without`: each takes most of a second of a processor to start.

    Its folder holds the data and the log, so that a second Service on the same folder is a restart of everything.
    """

    def __init__(self, folder: Path, whatsapp_url: str, *, without: Sequence[str] = (), **variables: str) -> None:
        self.folder = folder
        self.without = without
        self.data_dir = folder / "data"
        self.log_file = folder / "service.log"
        self.redis_port = int(variables.get("REDIS_PORT") or free_port())
        self.port = int(variables.get("PORT") or free_port())
        self.started_at = 0.0
        self.prefix: tuple[str, ...] = ()  # a command that runs the service's, and becomes it
        # A socket's path may have some hundred bytes, which a test's own folder may nearly use up.
        self.run_dir = self.data_dir / "run"
        if len(str(self.run_dir)) > 75:
            self.run_dir = Path(tempfile.mkdtemp(prefix="run-"))
        self.environ = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")},
            "DATA_DIR": str(self.data_dir),
            "RUN_DIR": str(self.run_dir),
            "REDIS_PORT": str(self.redis_port),
            "PORT": str(self.port),
            "WHATSAPP_WEB_URL": whatsapp_url,
            "WHATSAPP_SESSION_ID": SESSION,
            "INSTANCE_ID": INSTANCE,
            "API_TOKEN": "token-of-the-test",
            **variables,
        }
        self.redis: redis.Redis = connect(f"redis://127.0.0.1:{self.redis_port}/0")
        self.client = AgentClient(self.redis, self.environ["WHATSAPP_SESSION_ID"])
        self.control = ProcessControl(self.run_dir / "supervisor.sock")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            self.stop()
        self.redis.close()
        shutil.rmtree(self.run_dir, ignore_errors=True)
        left = self.leftovers()
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it; returns at once, or when the programs it goes without are stopped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.started_at = time.time()
        with self.log_file.open("ab") as log:
            self._process = processes.start(
                [*self.prefix, str(COMMAND), "run"], cwd=str(REPOSITORY), stdout=log, stderr=log, env=self.environ
            )
        for name in self.without:
            wait_until(lambda name=name: self.pids().get(name), 60, f"{name} starts", every_s=0.1)  # type: ignore[misc]
            self.control.stop(name)  # while it sleeps, so that others are first

    def stop(self, within_s: float = 30) -> int:
        """End it as `docker stop` does; its exit status. Fails when that took too long on a machine that is busy."""
        assert self._process is not None
        self._process.terminate()
        process, self._process = self._process, None
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            for leftover in self.leftovers():
                leftover.kill()
            process.kill()
            process.wait()
            raise AssertionError(f"the service did not stop within {within_s:g} s:\n{self.log()[-4000:]}") from None

    def wait_exit(self, within_s: float) -> int:
        """Wait until it ends by itself; its exit status."""
        assert self._process is not None
        status = self._process.wait(within_s)
        self._process = None
        return status

    @property
    def pid(self) -> int:
        """supervisord's."""
        assert self._process is not None
        return self._process.pid

    # -- what can be seen --------------------------------------------------------------------------------------------

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def program(self, name: str) -> ProcessState:
        """What supervisord says of a program; asked once more where it did not come to answer in time."""
        try:
            return self.control.state(name)
        except SupervisorUnavailable:
            return self.control.state(name)

    def pids(self) -> dict[str, int]:
        """The programs' process ids, 0 where one does not run; {} before supervisord listens."""
        try:
            return {name: self.program(name).pid for name in PROGRAMS}
        except SupervisorUnavailable:
            return {}

    def status(self) -> Status:
        status = self.client.status()
        assert status is not None
        return status

    def browser_processes(self) -> list[psutil.Process]:
        """Chromium's main process on this data folder, and all its descendants."""
        found = []
        for process in psutil.process_iter():
            try:
                if f"--user-data-dir={self.data_dir}" in " ".join(process.cmdline()):
                    found += [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
        return [process for process in {p.pid: p for p in found}.values() if _runs(process)]

    def leftovers(self) -> list[psutil.Process]:
        """Whatever still runs of this service, Chromium's children included."""
        found = self.browser_processes()
        for process in psutil.process_iter():
            try:
                if process.environ().get("DATA_DIR") == str(self.data_dir) and process.pid != os.getpid():
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in {p.pid: p for p in found}.values() if _runs(process)]

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self, *types: str, after: str = "-") -> list[Event]:
        """The stream's events, of these types, after the one with that id; [] while Redis is not there."""
        try:
            entries: Any = self.redis.xrange(self.client.names.events, "-" if after == "-" else f"({after}")
        except (redis.exceptions.RedisError, OSError):
            return []
        found = [event_from_entry(entry_id, fields) for entry_id, fields in entries]
        return [event for event in found if not types or event.type in types]

    def last_event_id(self) -> str:
        """To wait for events after this moment."""
        events = self.events()
        return str(events[-1].id) if events else "-"

    def wait_event(
        self,
        event_type: str,
        *,
        after: str = "-",
        within_s: float = 60,
        where: Callable[[dict[str, Any]], bool] = lambda _data: True,
    ) -> Event:
        """The first event of a type after that id whose data fits."""

        last = after

        def found() -> Event | None:
            nonlocal last  # a stream may be long, and is looked at fifty times a second
            for event in self.events(after=last):
                last = str(event.id)
                if event.type == event_type and where(event.data):
                    return event
            return None

        try:
            event = wait_until(found, within_s, f"event {event_type}")
        except AssertionError as error:
            seen = [(event.type, event.data if event.type != "qr" else {}) for event in self.events()]
            raise AssertionError(f"{error}; there were {seen[-12:]}\n{self.log()[-3000:]}") from None
        assert event is not None
        return event

    def wait_state(self, state: str, *, after: str = "-", within_s: float = 60) -> Event:
        """The event of entering a state."""
        return self.wait_event(
            "state_changed", after=after, within_s=within_s, where=lambda data: data["state"] == state
        )


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
