"""A clock that nobody steps and that all processes of this machine share."""

import os
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine_time() -> float:
    """Seconds since the machine was started, those of its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def age_of(pid: int) -> float | None:
    """For how many seconds, by the same clock, a process has been there. None where it is not, or is not seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    started_at_ticks = int(stat.rpartition(")")[2].split()[19])  # field 22; the name before it may hold anything
    return machine_time() - started_at_ticks / os.sysconf("SC_CLK_TCK")


def boot(boot_id: Path = _BOOT_ID) -> str:
    """The machine's present life: `machine_time` of another one says nothing. Where it is not told, times of another
    life are at most taken for old ones, or ones to come, of which neither counts."""
    try:
        return boot_id.read_text().strip()
    except OSError:
        return "unknown"
