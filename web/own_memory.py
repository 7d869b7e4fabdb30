"""What our own processes take: supervisord and its programs with what they have started, the browser excepted.

This process finds them by its parent, where that is supervisord; by itself it tells only of itself. As PSS, in which
pages that several share are counted once, where the kernel tells it; else as resident memory.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

KEPT_S = 10.0  # however often it is asked: each look reads some files for each process
SUPERVISOR = "supervisord"

_BROWSER = b"WHATSAPP_BROWSER_OF="  # marks what the agent starts as a browser (browser_agent/process_tree.py)
_PROGRAM = b"SUPERVISOR_PROCESS_NAME="
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class OwnMemory:
    """Bytes by program, kept for ten seconds. `read` blocks for some milliseconds: not for the event loop."""

    def __init__(self, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._read_at = float("-inf")
        self._last: dict[str, int] = {}

    def read(self) -> dict[str, int]:
        if self._clock() - self._read_at >= KEPT_S:
            self._last = self._look()
            self._read_at = self._clock()
        return self._last

    def _look(self) -> dict[str, int]:
        own = os.getpid()
        program = self._variable(own, _PROGRAM)
        if program is None:
            return {"web": self._memory(own) or 0}
        top = os.getppid()
        total = {SUPERVISOR: self._memory(top) or 0}
        children = self._children()
        for pid in children.get(top, []):
            if name := self._variable(pid, _PROGRAM) or self._title(pid):
                total[name] = total.get(name, 0) + self._with_children(pid, children)
        return total

    def _with_children(self, pid: int, children: dict[int, list[int]]) -> int:
        if self._variable(pid, _BROWSER) is not None:
            return 0
        below = sum(self._with_children(child, children) for child in children.get(pid, []))
        return (self._memory(pid) or 0) + below

    def _children(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for entry in self._proc.iterdir():
            if entry.name.isdigit() and (stat := self._read(int(entry.name), "stat")):
                parent = int(stat.rpartition(b")")[2].split()[1])  # the name before it may hold anything
                found.setdefault(parent, []).append(int(entry.name))
        return found

    def _variable(self, pid: int, name: bytes) -> str | None:
        for variable in self._read(pid, "environ").split(b"\0"):
            if variable.startswith(name):
                return variable[len(name) :].decode(errors="replace")
        return None

    def _title(self, pid: int) -> str:
        """redis-server writes its title over its environment."""
        return self._read(pid, "comm").decode(errors="replace").strip().removesuffix("-server")

    def _memory(self, pid: int) -> int | None:
        for line in self._read(pid, "smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
        resident = self._read(pid, "statm").split()
        return int(resident[1]) * _PAGE_BYTES if len(resident) > 1 else None

    def _read(self, pid: int, name: str) -> bytes:
        """Nothing, where it is gone or another's."""
        try:
            return (self._proc / str(pid) / name).read_bytes()
        except OSError:
            return b""
