"""All processes of a browser on one profile, whatever became of their parents: found, measured, ended.

Three marks tell them, since each alone can be lost. Chromium's own processes name the profile among their arguments,
and keep doing so where they write their title over their environment. What they start otherwise inherits a variable.
What has neither is found below one that has, for as long as its parents live.

Containers may see one another's processes (`docker run --pid=host`, Kubernetes' shareProcessNamespace), with the same
profile's path in each. What is known to have other files, in another mount namespace, is theirs: it is passed over.
Where the kernel does not tell (it shields a setuid sandbox) one of the marks is enough.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from whatsapp_contract.logs import get_logger

log = get_logger(__name__)

MARKER = "WHATSAPP_BROWSER_OF"  # the variable; its value is the profile's path
GONE_WITHIN_S = 0.5

_PROC = Path("/proc")
_OVER = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True)
class TreeMemory:
    """What a browser's processes take. Exact: pages that several of them share are counted once (PSS). Else what a
    process shares with others is left out where the kernel does not tell its part (RSS minus shared)."""

    bytes: int
    processes: int
    is_exact: bool


def marked(profile: Path) -> dict[str, str]:
    """What goes into the environment of a browser, for its children to inherit."""
    return {MARKER: str(profile)}


def processes_of(profile: Path) -> list[psutil.Process]:
    """Those that run now, this process excepted. Zombies are over, and not among them."""
    own, files = os.getpid(), _files_of("self")
    found: dict[int, psutil.Process] = {}
    for pid in _pids():
        if pid == own or not _belongs(pid, profile) or _is_elsewhere(pid, files):
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if _belongs(pid, profile):  # still: the number was not given to another since
                found[pid] = process
    # Whoever is below another's is found below that one: each question looks at all processes of the machine.
    for process in [process for process in found.values() if _parent(process) not in found]:
        with contextlib.suppress(psutil.Error):
            found.update((child.pid, child) for child in process.children(recursive=True))
    found.pop(own, None)
    return [process for process in found.values() if not _is_over(process)]


def end_all(profile: Path, within_s: float = GONE_WITHIN_S) -> int:
    """Kill them, and wait until they are gone. Answers how many there were.

    Looks again until nothing is found: one may just have started another. Blocks, for as long as it has to and no
    longer than `within_s`, so that no cancellation can come in between. Whoever calls holds the profile's lock.
    """
    deadline = time.monotonic() + within_s
    ended: set[tuple[int, float]] = set()
    while doomed := processes_of(profile):
        for process in doomed:
            with contextlib.suppress(psutil.Error):  # psutil looks that it is still the same process
                ended.add((process.pid, process.create_time()))
                process.kill()
        # Their states are looked at, and they are not waited for: a child of ours is asyncio's to reap.
        while not all(map(_is_over, doomed)) and time.monotonic() < deadline:
            time.sleep(0.002)
        if time.monotonic() >= deadline:
            left = [process for process in doomed if not _is_over(process)]
            if left:
                log.error("a former browser does not end, though it was killed", processes=len(left))
            break
    return len(ended)


def memory_of(profile: Path) -> TreeMemory | None:
    """None where nothing runs. Takes about a millisecond for each process: not for the event loop."""
    total, count, is_exact = 0, 0, True
    for process in processes_of(profile):
        with contextlib.suppress(psutil.Error, OSError):
            if (pss := _pss(process.pid)) is not None:
                total += pss
            else:
                memory = process.memory_info()
                total += max(memory.rss - memory.shared, 0)
                is_exact = False
            count += 1
    return TreeMemory(total, count, is_exact) if count else None


# -- what /proc tells -------------------------------------------------------------------------------------------------


def _pids() -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def _belongs(pid: int, profile: Path) -> bool:
    """By its arguments (a crash handler has the profile's path before its database's), or its environment."""
    named = f"--user-data-dir={profile}".encode(errors="surrogateescape")
    below = f"--database={profile}/".encode(errors="surrogateescape")
    arguments = _read(pid, "cmdline").rstrip(b"\0").split(b"\0")
    if len(arguments) == 1:  # a title, written over the arguments
        title = b" " + arguments[0] + b" "
        if b" " + named + b" " in title or b" " + below in title:
            return True
    elif named in arguments or any(argument.startswith(below) for argument in arguments):
        return True
    variable = f"{MARKER}={profile}".encode(errors="surrogateescape")
    return variable in _read(pid, "environ").split(b"\0")


def _is_elsewhere(pid: int, files: str | None) -> bool:
    """Whether it is known to have other files than these."""
    return files is not None and _files_of(pid) not in (files, None)


def _files_of(pid: int | str) -> str | None:
    """The mount namespace, which tells containers apart. Not the root: Chromium's sandbox gives its processes another.
    None where the kernel does not tell."""
    try:
        return str((_PROC / str(pid) / "ns/mnt").readlink())
    except OSError:
        return None


def _read(pid: int, name: str) -> bytes:
    """Nothing, where it is gone or another's."""
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _pss(pid: int) -> int | None:
    """None where the kernel does not tell: it is too old, or the process is shielded (Chromium's sandbox)."""
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() in _OVER
    except psutil.NoSuchProcess:
        return True
