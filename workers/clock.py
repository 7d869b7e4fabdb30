"""A clock that nobody steps and that all processes of this machine share."""

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine_time() -> float:
    """Seconds since the machine was started, those of its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot(boot_id: Path = _BOOT_ID) -> str:
    """The machine's present life: `machine_time` of another one says nothing. Where it is not told, times of another
    life are at most taken for old ones, or ones to come, of which neither counts."""
    try:
        return boot_id.read_text().strip()
    except OSError:
        return "unknown"
