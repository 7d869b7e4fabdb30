"""A clock that nobody steps and that all processes of this machine share."""

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine_time() -> float:
    """Seconds since the machine was started, those of its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot() -> str:
    """The machine's present life: `machine_time` of another one says nothing."""
    return _BOOT_ID.read_text().strip()
