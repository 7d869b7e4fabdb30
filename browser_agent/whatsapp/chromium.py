"""The Chromium process: found, started, watched and ended by us; nothing of it is ever left behind.

pyppeteer's own launcher blocks the event loop while Chromium starts, leaves its processes alive on signals, and
hands its arguments to Debian's wrapper, which overrides ours. So we start the browser's binary ourselves.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from browser_agent.process_tree import end_all, marked
from whatsapp_contract.errors import BrowserGone
from whatsapp_contract.logs import get_logger

from .environ import browser_environ
from .leftovers import fresh_tmp, remove_leftovers

log = get_logger(__name__)

VERSION_FILE = "browser-version.json"  # beside the profile
START_WITHIN_S = 20.0
VERSION_WITHIN_S = 10.0  # as the doctor gives it: the first start of a new binary may read it from a slow disk
# With the page's closing, all of it has to fit into three seconds, also where Chromium is frozen.
TERM_WITHIN_S = 0.6
KILL_WITHIN_S = 0.5

# Chromium carries a second, SQLite, form of these stores. A profile opened with the other form looks empty, so the
# form is pinned (measured with Chromium 156, whose default is LevelDB).
_STORE_FEATURES = (
    "DomStorageSqlite",
    "DomStorageSqliteMigration",
    "DomStorageSqliteNewDatabases",
    "IdbSqliteBackingStore",
    "IdbSqliteOnDiskRollout",
)
_UNWANTED_FEATURES = (
    "Translate",
    "MediaRouter",
    "OptimizationHints",
    "DialMediaRouteProvider",
    "PaintHolding",
    # What drops down below the address bar: two pages loaded at each start, in a renderer of their own. Without them
    # Chromium 156 takes half of the processor time until the account is ready, and 168 MB (PSS) in place of 218.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
)

_DEVTOOLS_LINE = re.compile(rb"DevTools listening on (ws://\S+)")
_NOWHERE = asyncio.subprocess.DEVNULL
_SMALL_SHM_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Chromium:
    """A running browser and its DevTools endpoint."""

    process: asyncio.subprocess.Process
    endpoint: str
    version: str
    profile: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    async def wait_gone(self, within_s: float) -> bool:
        """Whether its main process ended in time."""
        return await _gone(self.process, within_s)

    def kill_renderers(self) -> None:
        """Kill the processes that run pages: the last resort against one that does not answer."""
        for child in _descendants(self.pid):
            if "--type=renderer" in _command_line(child):
                _kill(child)


@contextlib.asynccontextmanager
async def open_chromium(executable: Path, profile: Path, *, sandbox: bool) -> AsyncIterator[Chromium]:
    """A browser on this profile, ended with everything it started when the block is left.

    The caller holds the profile's lock: whoever else uses the profile is swept away first. Raises BrowserGone
    when the browser cannot be started.
    """
    await _sweep_beside(profile)
    _prepare(profile)
    version = await browser_version(executable, profile.parent / VERSION_FILE)
    tmp = fresh_tmp(profile)
    try:
        process = await _start(executable, profile, version, tmp, sandbox=sandbox)
    except BaseException:  # asyncio may have started it all the same
        await _sweep_beside(profile)
        raise
    stderr = _Stderr(process)
    try:
        yield Chromium(process, await _endpoint(process, stderr), version, profile)
    finally:
        await _end(process, profile, stderr)


def sweep(profile: Path) -> None:
    """Have nothing of a former browser on this profile left: no process, no temporary file. Blocks."""
    _end_former(profile)
    remove_leftovers(profile)


async def _sweep_beside(profile: Path) -> None:
    """As `sweep`, but files are removed in a thread: there may be many. Their end is waited for also when we are
    cancelled: whoever has the profile next may start a browser at once. Processes are ended on the event loop, which
    nothing can interrupt, in some milliseconds."""
    _end_former(profile)
    removing = asyncio.ensure_future(asyncio.to_thread(remove_leftovers, profile))
    try:
        await asyncio.wait([removing])
    except asyncio.CancelledError:
        await asyncio.wait([removing])
        raise
    if removing.exception() is not None:  # no thread can be had
        remove_leftovers(profile)


def _end_former(profile: Path) -> None:
    if ended := end_all(profile, KILL_WITHIN_S):
        log.warning("a former browser was still running and was killed", processes=ended)


def _prepare(profile: Path) -> None:
    """A Singleton* file left by a killed browser, perhaps on another host, would keep ours from starting."""
    try:
        profile.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in profile.glob("Singleton*"):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise BrowserGone(f"the profile cannot be used: {error}") from error


async def browser_version(executable: Path, kept_in: Path) -> str:
    """`156.0.8078.79`, asked once for each binary, whose answer is kept in a file.

    Raises BrowserGone when the binary does not even say that, or is not there any more.
    """
    try:
        identity = _identity(executable)
    except OSError as error:  # an upgrade removes it for a while
        raise BrowserGone(f"the browser is not there: {error}") from error
    if (kept := _kept_version(kept_in, identity)) is not None:
        return kept
    version = await _ask_version(executable)
    _keep_version(kept_in, identity, version)
    return version


def _identity(executable: Path) -> list[str | int]:
    stat = executable.stat()
    return [str(executable), stat.st_mtime_ns, stat.st_size]


def _kept_version(kept_in: Path, identity: list[str | int]) -> str | None:
    try:
        kept = json.loads(kept_in.read_text())
        return str(kept["version"]) if kept["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep_version(kept_in: Path, identity: list[str | int], version: str) -> None:
    with contextlib.suppress(OSError):  # then it is asked again
        kept_in.write_text(json.dumps({"identity": identity, "version": version}))


async def _ask_version(executable: Path) -> str:
    process = await _spawn(
        *(str(executable), "--version"),
        stdout=asyncio.subprocess.PIPE,
        stderr=_NOWHERE,
        env=browser_environ(os.environ),
    )
    try:
        async with asyncio.timeout(VERSION_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise BrowserGone(f"{executable} --version said nothing within {VERSION_WITHIN_S:g} s") from None
    finally:
        _signal_group(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_WITHIN_S):
                await process.communicate()  # to the end of its pipe, which asyncio then closes
    found = re.search(rb"\d+(?:\.\d+)+", output)
    if found is None:
        raise BrowserGone(f"{executable} --version said {output[:100]!r}")
    return found.group().decode()


async def _start(
    executable: Path, profile: Path, version: str, tmp: Path | None, *, sandbox: bool
) -> asyncio.subprocess.Process:
    # The kernel ends the browser with us, also when we are killed. It ends it gently, so that it writes its stores.
    return await _spawn(
        "setpriv",
        "--pdeathsig",
        "TERM",
        "--",
        str(executable),
        *_arguments(profile, version, sandbox=sandbox),
        stdout=_NOWHERE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **browser_environ(os.environ),
            **marked(profile),
            **({"TMPDIR": str(tmp)} if tmp else {}),
            "BREAKPAD_DUMP_LOCATION": str(profile / "Crash Reports"),
        },
    )


async def _spawn(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """A process that leads a group of its own, by which all of it can be ended. Raises BrowserGone."""
    try:
        return await asyncio.create_subprocess_exec(*command, stdin=_NOWHERE, process_group=0, **options)
    except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be had to watch it
        raise BrowserGone(f"{command[0]} cannot be run: {error}") from error


class _Stderr:
    """What the browser says there. Read all the time, or the browser would block on the pipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        self.endpoint = asyncio.get_running_loop().create_future()  # None: it ended without one
        self.last_words: deque[str] = deque(maxlen=20)
        self.reader = asyncio.create_task(self._read(process.stderr))

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        while line := await self._line(stderr):
            found = _DEVTOOLS_LINE.search(line)
            if found and not self.endpoint.done():
                self.endpoint.set_result(found.group(1).decode())
            self.last_words.append(line.decode(errors="replace").strip())
        if not self.endpoint.done():
            self.endpoint.set_result(None)

    async def _line(self, stderr: asyncio.StreamReader) -> bytes:
        try:
            return await stderr.readline()
        except ValueError:  # longer than any that is of interest
            return b"..."


async def _endpoint(process: asyncio.subprocess.Process, stderr: _Stderr) -> str:
    try:
        async with asyncio.timeout(START_WITHIN_S):
            if (endpoint := await stderr.endpoint) is not None:
                return str(endpoint)
            reason = f"ended with code {await process.wait()}"
    except TimeoutError:
        reason = f"did not open DevTools within {START_WITHIN_S:g} s"
    raise BrowserGone(f"the browser {reason}: {' | '.join(list(stderr.last_words)[-3:])}")


async def _end(process: asyncio.subprocess.Process, profile: Path, stderr: _Stderr) -> None:
    """End a browser that is not gone yet, gently first; then look that nothing of it is left.

    A cancellation meanwhile takes the time for gentleness away, and nothing else.
    """
    try:
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            await _gone(process, TERM_WITHIN_S)
    finally:
        _signal_group(process.pid, signal.SIGKILL)  # also children that outlived their parent
        try:
            await _gone(process, KILL_WITHIN_S)
        finally:
            await _sweep_beside(profile)
            # With the last holder of the pipe gone the reader ends by itself, and asyncio closes its end.
            await asyncio.wait({stderr.reader}, timeout=KILL_WITHIN_S)
            stderr.reader.cancel()


async def _gone(process: asyncio.subprocess.Process, within_s: float) -> bool:
    """Whether a process ended in time. Looks at the process alone: children may hold its pipes."""
    deadline = asyncio.get_running_loop().time() + within_s
    # Polled: the child watcher has no event to await that would not also wait for the pipes.
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return process.returncode is not None


def _arguments(profile: Path, version: str, *, sandbox: bool) -> list[str]:
    """All of them; nothing is added by a wrapper or a library."""
    major = version.split(".", maxsplit=1)[0]
    arguments = [
        "--headless",
        "--remote-debugging-port=0",  # a free port on loopback, told on stderr
        f"--user-data-dir={profile}",
        # As Chrome itself would say, without "Headless": since Chrome 110 only the major version is told.
        f"--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{major}.0.0.0 Safari/537.36",
        "--password-store=basic",  # cookies stay readable when the profile moves to another machine
        "--lang=en-US",
        "--window-size=1280,900",
        "--no-first-run",
        "--no-default-browser-check",
        "--no-pings",
        "--mute-audio",
        "--hide-scrollbars",
        "--disable-gpu",
        "--disable-breakpad",
        "--disable-crash-reporter",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-sync",
        "--disable-domain-reliability",
        "--disable-client-side-phishing-detection",
        "--metrics-recording-only",
        # The page is never in the foreground, and must not be slowed or frozen for that.
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        "--disable-hang-monitor",
        "--disable-popup-blocking",
        "--disable-blink-features=AutomationControlled",  # navigator.webdriver, as in a browser of a person
        f"--disable-features={','.join((*_STORE_FEATURES, *_UNWANTED_FEATURES))}",
    ]
    if not sandbox:
        arguments += ["--no-sandbox", "--disable-setuid-sandbox"]
    shm = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108  # a mount, not a file
    if shm is None or shm.total < _SMALL_SHM_BYTES:
        arguments.append("--disable-dev-shm-usage")
    return [*arguments, "about:blank"]


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
