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

import psutil

from whatsapp_contract.errors import BrowserGone
from whatsapp_contract.logs import get_logger

log = get_logger(__name__)

START_WITHIN_S = 20.0
VERSION_WITHIN_S = 5.0
EXIT_WITHIN_S = 2.0

# Chromium carries a second, SQLite, form of these stores. A profile opened with the other form looks empty, so the
# form is pinned (measured with Chromium 156, whose default is LevelDB).
_STORE_FEATURES = (
    "DomStorageSqlite",
    "DomStorageSqliteMigration",
    "DomStorageSqliteNewDatabases",
    "IdbSqliteBackingStore",
    "IdbSqliteOnDiskRollout",
)
_UNWANTED_FEATURES = ("Translate", "MediaRouter", "OptimizationHints", "DialMediaRouteProvider", "PaintHolding")

_DEVTOOLS_LINE = re.compile(rb"DevTools listening on (ws://\S+)")
_SMALL_SHM_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Chromium:
    """A running browser and its DevTools endpoint."""

    process: asyncio.subprocess.Process
    endpoint: str
    version: str
    profile: Path
    last_words: deque[str]  # the end of its stderr
    stderr_reader: asyncio.Task[None]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    async def wait_gone(self, within_s: float) -> bool:
        """Whether its main process ended in time. Looks at the process alone: children may hold its pipes."""
        deadline = asyncio.get_running_loop().time() + within_s
        # Polled: the child watcher has no event to await that would not also wait for the pipes.
        while self.is_running and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return not self.is_running

    def renderers(self) -> list[psutil.Process]:
        """The processes that run pages, which an answerless page may need killed."""
        return [child for child in _descendants(self.pid) if "--type=renderer" in _command_line(child)]


@contextlib.asynccontextmanager
async def open_chromium(executable: Path, profile: Path, *, sandbox: bool) -> AsyncIterator[Chromium]:
    """A browser on this profile, ended with everything it started when the block is left.

    The caller holds the profile's lock: whoever else uses the profile is swept away first. Raises BrowserGone
    when the browser cannot be started.
    """
    sweep(profile)
    _prepare(profile)
    version = await _version(executable, profile.parent / "browser-version.json")
    chromium = await _start(executable, profile, version, sandbox=sandbox)
    try:
        yield chromium
    finally:
        await _end(chromium)


def sweep(profile: Path) -> int:
    """Kill whatever browser still runs on this profile, with all its descendants. Answers how many processes."""
    doomed: dict[int, psutil.Process] = {}
    # The browser names its profile, and so do its crash handlers, which made sessions of their own.
    for process in psutil.process_iter():
        arguments = _command_line(process)
        is_browser = f"--user-data-dir={profile}" in arguments
        if is_browser or any(argument.startswith(f"--database={profile}/") for argument in arguments):
            doomed[process.pid] = process
            doomed.update({child.pid: child for child in _descendants(process.pid)})
    doomed.pop(os.getpid(), None)
    for process in doomed.values():
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(list(doomed.values()), timeout=EXIT_WITHIN_S)
    if doomed:
        log.warning("a former browser was still running and was killed", processes=len(doomed))
    return len(doomed)


def _prepare(profile: Path) -> None:
    """A Singleton* file left by a killed browser, perhaps on another host, would keep ours from starting."""
    profile.mkdir(parents=True, exist_ok=True, mode=0o700)
    for leftover in profile.glob("Singleton*"):
        leftover.unlink(missing_ok=True)


async def _version(executable: Path, kept_in: Path) -> str:
    """`156.0.8078.79`, asked once for each binary. Raises BrowserGone when the binary does not even say that."""
    identity = _identity(executable)
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
    kept_in.write_text(json.dumps({"identity": identity, "version": version}))


async def _ask_version(executable: Path) -> str:
    try:
        async with asyncio.timeout(VERSION_WITHIN_S):
            process = await asyncio.create_subprocess_exec(
                executable, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            output, _ = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise BrowserGone(f"{executable} --version failed: {error!r}") from None
    found = re.search(rb"\d+(?:\.\d+)+", output)
    if found is None:
        raise BrowserGone(f"{executable} --version said {output[:100]!r}")
    return found.group().decode()


async def _start(executable: Path, profile: Path, version: str, *, sandbox: bool) -> Chromium:
    arguments = _arguments(profile, version, sandbox=sandbox)
    # The kernel ends the browser with us, also when we are killed. It ends it gently, so that it writes its stores.
    process = await asyncio.create_subprocess_exec(
        "setpriv",
        "--pdeathsig",
        "TERM",
        "--",
        executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
        env={**os.environ, "BREAKPAD_DUMP_LOCATION": str(profile / "Crash Reports")},
    )
    assert process.stderr is not None
    last_words: deque[str] = deque(maxlen=20)
    endpoint = await _endpoint(process, process.stderr, last_words)
    reader = asyncio.create_task(_read_on(process.stderr, last_words))
    return Chromium(process, endpoint, version, profile, last_words, reader)


async def _endpoint(process: asyncio.subprocess.Process, stderr: asyncio.StreamReader, last_words: deque[str]) -> str:
    try:
        async with asyncio.timeout(START_WITHIN_S):
            async for line in stderr:
                if found := _DEVTOOLS_LINE.search(line):
                    return found.group(1).decode()
                last_words.append(line.decode(errors="replace").strip())
            reason = f"ended with code {await process.wait()}"
    except TimeoutError:
        reason = f"did not open DevTools within {START_WITHIN_S:g} s"
    _signal_group(process.pid, signal.SIGKILL)
    raise BrowserGone(f"the browser {reason}: {' | '.join(list(last_words)[-3:])}")


async def _read_on(stderr: asyncio.StreamReader, last_words: deque[str]) -> None:
    """Keep the pipe empty, or the browser would block on it."""
    async for line in stderr:
        last_words.append(line.decode(errors="replace").strip())


async def _end(chromium: Chromium) -> None:
    """End a browser that is not gone yet, gently first; then look that nothing of it is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if chromium.is_running:
            _signal_group(chromium.pid, number)
            await chromium.wait_gone(EXIT_WITHIN_S)
    _signal_group(chromium.pid, signal.SIGKILL)  # children that outlived their parent
    sweep(chromium.profile)
    # With the last holder of the pipe gone the reader ends by itself, and asyncio closes its end.
    await asyncio.wait({chromium.stderr_reader}, timeout=EXIT_WITHIN_S)
    chromium.stderr_reader.cancel()


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
