"""One agent per profile. Only under this lock are a former browser's remains swept away."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

WAIT_S = 3.0  # a former agent that is just ending


class ProfileInUse(Exception):
    """Another agent holds the profile."""


@contextlib.contextmanager
def profile_lock(session_dir: Path) -> Iterator[None]:
    """Held until the block is left or the process is gone. Raises ProfileInUse."""
    session_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + WAIT_S
    with (session_dir / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ProfileInUse(str(session_dir)) from None
                time.sleep(0.05)
        yield
