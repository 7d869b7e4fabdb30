"""A real supervisord with small programs of the test's."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from supervisor import events

from cli import supervisor_hooks
from tests.whatsapp_web import processes
from workers.process_control import ProcessControl, SupervisorUnavailable

from .waiting import wait_until

SLEEPER = f"""command={sys.executable} -c "import time; time.sleep(600)"
startsecs=0
stopwaitsecs=2
autorestart=true"""

_HEAD = """
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={folder}/supervisord.pid
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
_HOOKS = """
[rpcinterface:hooks]
supervisor.rpcinterface_factory=tests.harness.supervisor:install_quick_hooks
"""


def install_quick_hooks(supervisord: Any, **config: Any) -> object:
    """In supervisord's process: the service's hooks, which try again every five seconds rather than every minute."""
    supervisor_hooks.TRIED_AGAIN_AT = events.Tick5Event
    return supervisor_hooks.install(supervisord, **config)


class Supervisor:
    """A context manager. `programs` is a section's text by program name; `hooks` where it is to have the service's."""

    def __init__(self, folder: Path, programs: Mapping[str, str], *, hooks: bool = False) -> None:
        self._config = folder / "supervisord.conf"
        self._log = folder / "supervisord.log"
        sections = "\n".join(f"[program:{name}]\n{text}" for name, text in programs.items())
        self._config.write_text(_HEAD.format(folder=folder) + (_HOOKS if hooks else "") + sections)
        self.control = ProcessControl(folder / "supervisor.sock")
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        with self._log.open("ab") as log:
            self.process = processes.start(command, stdout=log)
        wait_until(self._answers, 30, "supervisord answers")
        return self

    def log(self) -> str:
        return self._log.read_text()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.process.send_signal(signal.SIGCONT)
        processes.stop(self.process, 10)

    def _answers(self) -> bool:
        try:
            self.control.programs()
        except SupervisorUnavailable:
            return False
        return True
