"""The programs that `make sbom` and `make audit` call: where they are, and by when they have to answer."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
INSTALLED = Path(sys.executable).parent  # what requirements-supply.lock brings


def installed(name: str) -> str:
    """A program of our own environment."""
    return str(INSTALLED / name)


def npm() -> str:
    """The machine's; tools/setup has put one into our environment where it has none."""
    return shutil.which("npm") or installed("npm")


def run(*command: str, within_s: float) -> "subprocess.CompletedProcess[str]":
    """What it printed, in the repository. One that takes longer is ended with all that it started: it has failed, has
    printed nothing, and its `stderr` says so."""
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{INSTALLED}"}
    # A session of its own, to be ended whole: npm and pip work in processes that they start, which hold the pipes.
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            printed, complained = started.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            _end(started)
            problem = f"{Path(command[0]).name} gave no answer within {within_s:g} s"
            return subprocess.CompletedProcess(command, -signal.SIGKILL, "", problem)
        except BaseException:  # Ctrl-C does not reach it there
            _end(started)
            raise
    return subprocess.CompletedProcess(command, started.returncode, printed, complained)


def _end(started: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
