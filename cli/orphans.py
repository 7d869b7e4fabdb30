"""Processes that lost their parents come to this one, and are ended with the service."""

import contextlib
import ctypes
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

PR_SET_CHILD_SUBREAPER = 36
END_WITHIN_S = 0.5

_PROC = Path("/proc")
_PARENT, _START = 1, 19  # fields of a process' `stat`, after its name

Identity = tuple[int, int]  # a process id, and when it was started: two processes never have both in common


def become_subreaper() -> None:
    """Orphans come to us also where we are not PID 1; supervisord reaps whatever child ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> frozenset[Identity]:
    """Those of this process. Before it has started any: what the program that became this one has left running, a
    wrapper's script for example."""
    own = str(os.getpid())
    found = ((int(entry.name), _stat(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit())
    return frozenset((pid, int(stat[_START])) for pid, stat in found if stat and stat[_PARENT] == own)


def end_orphans(spared: Collection[Identity] = ()) -> None:
    """Whatever still runs below us when supervisord has stopped its programs, except `spared` and what is below them.

    Asked first, and killed where it does not listen: one may have come from a person's `docker exec`. As PID 1 our end
    would be theirs; elsewhere a process that was frozen, or is deaf to SIGTERM, would outlive the service.
    """
    import psutil  # here: it takes memory, which supervisord's process has no other use for

    while left := list(_below_us(spared)):
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for orphan in left:
                with contextlib.suppress(psutil.Error):
                    end(orphan)
            _gone, left = psutil.wait_procs(left, timeout=END_WITHIN_S)
        if left:
            return  # not even SIGKILL ends them: a disk that hangs


def _below_us(spared: Collection[Identity]) -> "Iterator[psutil.Process]":
    import psutil

    kept = {pid for pid, started in spared if (stat := _stat(pid)) and int(stat[_START]) == started}
    for child in psutil.Process().children():
        if child.pid not in kept:
            yield child
            with contextlib.suppress(psutil.NoSuchProcess):
                yield from child.children(recursive=True)


def _stat(pid: int | str) -> list[str]:
    """[] where it is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
