"""A consistent copy of the profile: what a session consists of, staged while the browser stands still.

Chromium writes its stores all the time and one after the other. Copied as it runs, one of fifty copies was empty
(measured); linked and listed again until nothing changed, a busy profile may never come to rest. So all processes of
the browser are stopped (SIGSTOP) for the milliseconds that it takes to hard-link what is never written again and to
copy the rest: what is staged is what a crash at that moment would have left, which LevelDB and SQLite survive.
`make bench` measures both ways beside each other.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

# Below the profile's `Default`. Everything else there is cache, or made anew.
KEPT = ("IndexedDB", "Local Storage", "Service Worker", "Cookies", "Cookies-journal", "Network")
_KEPT_OF_NETWORK = ("Cookies", "Cookies-journal")
# A lock is of a process, not of a session.
_NEVER = frozenset({"LOCK"})

STANDS_STILL_WITHIN_S = 0.5
# A table or blob that is younger may still be written to: it is copied.
_SETTLED_S = 2.0


class BrowserMoved(Exception):
    """The browser ended, or did not stand still, while its profile was copied: there is no snapshot."""


@dataclass(frozen=True)
class Staged:
    """What was staged, and how long the browser stood still for it."""

    files: int
    stood_still_ms: float


def stage(profile: Path, into: Path, browser_pid: int | None) -> Staged:
    """Copy the session in `profile` to `into`/profile, with the browser standing still; `browser_pid` None where none
    runs. Blocks for some tens of milliseconds.

    Raises BrowserMoved, and OSError (disk full); then `into` is to be thrown away.
    """
    into.mkdir(mode=0o700)
    target = into / "profile"
    if browser_pid is None:
        return Staged(_copy(profile, target, set()), 0.0)
    # What is never written again needs no standing still; without hard links this is most of the copying.
    settled = _copy_settled(profile, target)
    with _standing_still(browser_pid) as since:
        files = _copy(profile, target, settled)
        stood_still_ms = (time.monotonic() - since) * 1000
    return Staged(files, round(stood_still_ms, 1))


# -- standing still ---------------------------------------------------------------------------------------------------


@contextmanager
def _standing_still(browser_pid: int) -> Iterator[float]:
    """The browser's processes stopped, all of them, until the block is left. Gives the time since when."""
    # The children are looked for before: that takes longer than all the rest.
    known = {browser_pid, *_children(browser_pid)}
    stopped: set[int] = set()
    since = time.monotonic()
    try:
        _signal(known, signal.SIGSTOP, stopped)
        # Whoever was started meanwhile; a stopped process starts nobody.
        _signal({*_children(browser_pid)} - stopped, signal.SIGSTOP, stopped)
        _wait_stopped(browser_pid, stopped, since + STANDS_STILL_WITHIN_S)
        yield since
        if _state(browser_pid) != "T":
            raise BrowserMoved("the browser ended while its profile was copied")
    finally:
        _signal(stopped, signal.SIGCONT, set())


def _wait_stopped(browser_pid: int, pids: set[int], deadline: float) -> None:
    while any(_state(pid) not in ("T", "Z", None) for pid in pids):
        if time.monotonic() > deadline:
            raise BrowserMoved("the browser did not stand still")
        time.sleep(0.001)
    if _state(browser_pid) != "T":
        raise BrowserMoved("the browser is gone")


def _signal(pids: set[int], number: signal.Signals, reached: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
        reached.add(pid)


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _state(pid: int) -> str | None:
    """`T` only when every thread has stopped: a thread inside a system call ends it first. None where it is gone."""
    states = set()
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    except OSError:
        return None
    return "T" if states == {"T"} else "Z" if states == {"Z"} else "R"


# -- copying ----------------------------------------------------------------------------------------------------------


def _copy_settled(profile: Path, target: Path) -> set[Path]:
    """Tables and blobs that were written a while ago, linked or copied. Answers their copies."""
    settled_before = time.time() - _SETTLED_S
    done = set()
    for source in kept_files(profile / "Default"):
        if not _is_written_once(source):
            continue
        copy = target / source.relative_to(profile)
        try:
            if source.stat().st_mtime < settled_before:
                copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                _link_or_copy(source, copy)
                done.add(copy)
        except FileNotFoundError:  # deleted just now
            copy.unlink(missing_ok=True)
    return done


def _copy(profile: Path, target: Path, done: set[Path]) -> int:
    """All that is not done yet; what is done and is not there any more goes."""
    wanted = {target / source.relative_to(profile): source for source in kept_files(profile / "Default")}
    for copy in done - wanted.keys():
        copy.unlink()
    for copy, source in wanted.items():
        if copy not in done:
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(source, copy, follow_symlinks=False)
    return len(wanted)


def kept_files(default: Path) -> Iterator[Path]:
    """The files below a profile's `Default` that are the session."""
    for name in KEPT:
        kept = default / name
        if kept.is_file():
            yield kept
        elif name == "Network":
            yield from (kept / inner for inner in _KEPT_OF_NETWORK if (kept / inner).is_file())
        else:
            for folder, folders, names in os.walk(kept):
                folders.sort()
                yield from (Path(folder, file) for file in sorted(names) if file not in _NEVER)


def _is_written_once(source: Path) -> bool:
    """Tables and blobs; a link to one costs nothing and outlives its deletion."""
    return source.suffix == ".ldb" or any(part.endswith(".blob") for part in source.parts)


def _link_or_copy(source: Path, copy: Path) -> None:
    try:
        os.link(source, copy)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(source, copy, follow_symlinks=False)
