"""python -m cli.pid1: supervisord in this process, which is PID 1 in a container.

Started by `whatsapp-container run` through exec, so that what the checks needed takes no memory here.
"""

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from supervisor import supervisord

from . import supervisor_hooks
from .orphans import become_subreaper, children, end_orphans

_CHUNK_BYTES = 65536


def main(config: str) -> int:
    """Runs until told to stop. 0, or supervisor_hooks.FATAL_EXIT_CODE when a program could not be kept running."""
    there_before = children()
    become_subreaper()
    finish = relay_stdout() if _needs_relay() else lambda: None
    try:
        supervisord.main(["--configuration", config, *_user()])
    finally:
        end_orphans(there_before)
        finish()
    return supervisor_hooks.FATAL_EXIT_CODE if supervisor_hooks.fatal_programs else 0


def _user() -> list[str]:
    """supervisord asks root, and only root, whom to be; of a user that has a number but no name it would end."""
    return ["--user", "0"] if os.getuid() == 0 else []


def _needs_relay() -> bool:
    """supervisord opens /dev/stdout anew for each program. On a file each would then write over the others; a
    socket, or something of another owner's, cannot be opened at all."""
    if stat.S_ISREG(os.fstat(1).st_mode):
        return True
    try:
        with Path("/dev/stdout").open("ab"):
            return False
    except OSError:
        return True


def relay_stdout() -> Callable[[], None]:
    """Put a pipe of our own in stdout's place, copied to the real one. Answers how to end that.

    What cannot be written (a full disk, a reader that is gone) is dropped: a pipe that nobody empties would stop
    every program at its next line.
    """
    real = os.dup(1)
    readable, writable = os.pipe()
    os.dup2(writable, 1)
    os.close(writable)
    os.set_inheritable(1, True)

    def copy() -> None:
        while chunk := os.read(readable, _CHUNK_BYTES):
            with contextlib.suppress(OSError):
                while chunk:
                    chunk = chunk[os.write(real, chunk) :]

    copier = threading.Thread(target=copy, daemon=True)
    copier.start()

    def finish() -> None:
        sys.stdout.flush()
        os.dup2(real, 1)  # closes the pipe's last writing end
        copier.join(timeout=2)

    return finish


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
