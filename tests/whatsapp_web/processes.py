"""Processes of a test: each in a group of its own, ended with it, and by the kernel if the test is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO


def start(
    command: Sequence[str],
    *,
    cwd: str | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that does not outlive the calling thread.

    `setpriv` (util-linux) has the kernel send SIGTERM when the thread that started the process is gone.
    """
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes], timeout_s: float = 20.0) -> int:
    """End a process that `start` started, with its whole group if it does not end by itself; its status."""
    process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        # Not reaped yet: the id of the group is surely still its own.
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait(timeout_s)
