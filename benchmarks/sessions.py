"""Saving and restoring the session: how long, how large, how long the page stands still, whether copies are whole."""

import asyncio
import contextlib
import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from browser_agent.session.process import run_work
from browser_agent.session.snapshot import kept_files, stage
from browser_agent.session.work import Prepare, Prepared, Save, Saved
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.s3_server import S3Server
from tests.harness.service import Service
from tests.harness.site import empty_site
from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Browser, Page
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.settings import Settings

from .report import Figure, median_worst

ROUNDS, COPIES, OTHER_COPIES = 5, 100, 30
MB = 1_000_000

# Records of 250 kB that cannot be compressed, as photos' keys and thumbnails cannot.
_FILL = """(async (megabytes) => {
  const request = indexedDB.open('filled', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('records');
  await new Promise((resolve) => (request.onsuccess = resolve));
  for (let at = 0; at < megabytes * 4; at += 1) {
    const record = new Uint8Array(250000);
    for (let i = 0; i < record.length; i += 50000) crypto.getRandomValues(record.subarray(i, i + 50000));
    const write = request.result.transaction('records', 'readwrite', { durability: 'strict' });
    write.objectStore('records').put(record, at);
    await new Promise((resolve) => (write.oncomplete = resolve));
  }
  return true;
})"""
_WRITE = """(() => {
  window.committed = 0;
  const request = indexedDB.open('counted', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('records');
  request.onsuccess = async () => {
    for (let at = 1; ; at += 1) {
      const write = request.result.transaction('records', 'readwrite');
      write.objectStore('records').put('x'.repeat(at % 20 ? 500 : 100000), at);
      await new Promise((resolve) => (write.oncomplete = resolve));
      window.committed = at;
    }
  };
  return true;
})()"""
_COUNT = """(async () => {
  const request = indexedDB.open('counted', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('records');
  await new Promise((resolve) => (request.onsuccess = resolve));
  const read = request.result.transaction('records').objectStore('records').getAllKeys();
  await new Promise((resolve) => (read.onsuccess = resolve));
  return read.result.every((key, at) => key === at + 1) ? read.result.length : -1;
})()"""


def run(folder: Path) -> list[Figure]:
    folder.mkdir(parents=True)
    with empty_site() as site, S3Server() as s3:
        return [
            *_saving(folder / "saving", site, s3),
            *_under_writes(folder / "writes", site),
            _restoring(folder / "restoring", site, s3),
            _memory(folder / "memory", s3),
        ]


# -- saving ----------------------------------------------------------------------------------------------------------


def _saving(folder: Path, site: str, s3: S3Server) -> list[Figure]:
    settings = _settings(folder)
    in_s3 = _settings(folder, **s3.settings())
    profile = settings.session_dir / "profile"
    with _browser(profile) as (browser, pid):
        _filled(browser, site, 20)
        took, stored, memory, still = [], [], [], []
        for _ in range(ROUNDS):
            shutil.rmtree(settings.data_dir / "store", ignore_errors=True)
            took_s, saved, peak_bytes, still_ms = _save(settings, pid)
            took.append(took_s)
            stored.append(saved.generation.stored_bytes / MB)
            memory.append(peak_bytes / MB)
            still.append(still_ms)
        unchanged_s, unchanged, _, _ = _save(settings, pid)
        to_s3 = []
        for _ in range(ROUNDS):
            s3.reset()
            to_s3.append(_save(in_s3, pid)[0])
        floor = [_timed(lambda: _naive(profile, folder / "copy")) for _ in range(ROUNDS)]
    return [
        Figure(
            "snapshot of 20 MB in IndexedDB, directory",
            median_worst(took),
            f"{median_worst(floor)} bare copy",
            "0.8 s",
        ),
        Figure("the same to a local S3 server", median_worst(to_s3), "-", "-"),
        Figure("bytes stored", f"{statistics.median(stored):.1f} MB", "-", "21 MB"),
        Figure("peak memory of the process that saves", f"{max(memory):.0f} MB", "-", "64 MB"),
        Figure("page stopped while copying 20 MB", median_worst(still, "ms"), "-", "200 ms"),
        Figure(
            "the same profile unchanged",
            f"{'uploaded again' if unchanged.is_new else 'no upload'}, {unchanged_s:.2f} s",
            "-",
            "no upload",
        ),
    ]


def _save(settings: Settings, pid: int) -> tuple[float, Saved, int, float]:
    """Seconds, the result, the peak of the saving process' memory, and how long the browser stood still."""
    started = time.monotonic()
    staging = settings.session_dir / "staging-bench"
    staged = stage(settings.session_dir / "profile", staging, pid)
    request = Save(folder=staging, epoch=1, cause="benchmark", browser_version=None, wa_js_version=None)
    with _environment(settings), _peak_of_children() as peak:
        saved = asyncio.run(run_work(settings, request, 60))
    took_s = time.monotonic() - started
    shutil.rmtree(staging)
    assert isinstance(saved, Saved)
    return took_s, saved, peak[0], staged.stood_still_ms


# -- copies under continuous writes ----------------------------------------------------------------------------------


def _under_writes(folder: Path, site: str) -> list[Figure]:
    profile = folder / "profile"
    still: list[float] = []
    tries: list[int] = []

    def stopped(copy: Path, pid: int) -> None:
        still.append(stage(profile, copy, pid).stood_still_ms)

    def linked(copy: Path, _pid: int) -> None:
        tries.append(_link_until_it_holds_still(profile, copy))

    with _browser(profile) as (browser, pid):
        page = browser.new_page()
        page.devtools.call("Page.navigate", url=site)
        wait_until(lambda: page.evaluate("location.href") == site, 10, "the page is loaded")
        page.evaluate(_WRITE)
        wait_until(lambda: page.evaluate("window.committed") > 100, 20, "it writes")
        whole = sum(_is_whole(folder, page, site, lambda copy: stopped(copy, pid)) for _ in range(COPIES))
        naive = sum(
            _is_whole(folder, page, site, lambda copy: _naive(profile, copy / "profile")) for _ in range(OTHER_COPIES)
        )
        linked_whole = sum(_is_whole(folder, page, site, lambda copy: linked(copy, pid)) for _ in range(OTHER_COPIES))
        written = page.evaluate("window.committed")
    return [
        Figure(
            f"copies under continuous writes ({written} records) that hold all that was committed",
            f"{whole} of {COPIES}; page stopped {median_worst(still, 'ms')}",
            f"{naive} of {OTHER_COPIES} naive; {linked_whole} of {OTHER_COPIES} linked until nothing changed, "
            f"median {statistics.median(tries):.0f} tries, {sum(each < 0 for each in tries)} never",
            f"{COPIES} of {COPIES}",
        )
    ]


def _is_whole(folder: Path, page: Page, site: str, copy_to: Callable[[Path], None]) -> bool:
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    committed = page.evaluate("window.committed")
    with contextlib.suppress(OSError):  # a naive copy meets files that are just deleted
        copy_to(copy)
    if not (copy / "profile").is_dir():
        return False
    with Browser(copy / "profile") as other:
        reader = other.new_page()
        reader.devtools.call("Page.navigate", url=site)
        wait_until(lambda: reader.evaluate("location.href") == site, 10, "the page is loaded")
        return bool(reader.evaluate(_COUNT) >= committed)


def _naive(profile: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for file in kept_files(profile / "Default"):
        copy = target / file.relative_to(profile)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _link_until_it_holds_still(profile: Path, copy: Path) -> int:
    """The way that was not chosen. Answers the tries it took, -1 when it never held still."""

    def listed() -> list[tuple[str, int, int]]:
        found = []
        for file in kept_files(profile / "Default"):
            with contextlib.suppress(FileNotFoundError):
                stat = file.stat()
                found.append((str(file), stat.st_size, stat.st_mtime_ns))
        return found

    for attempt in range(1, 51):
        shutil.rmtree(copy, ignore_errors=True)
        before = listed()
        try:
            for name, _, _ in before:
                target = copy / "profile" / Path(name).relative_to(profile)
                target.parent.mkdir(parents=True, exist_ok=True)
                if name.endswith(".ldb"):
                    os.link(name, target)
                else:
                    shutil.copyfile(name, target)
        except FileNotFoundError:
            continue
        if listed() == before:
            return attempt
    return -1


# -- restoring, and memory -------------------------------------------------------------------------------------------


def _restoring(folder: Path, site: str, s3: S3Server) -> Figure:
    s3.reset()
    settings = _settings(folder, **s3.settings())
    profile = settings.session_dir / "profile"
    with _browser(profile) as (browser, pid):
        _filled(browser, site, 50)
        _save(settings, pid)
    took = []
    for _ in range(ROUNDS):
        shutil.rmtree(settings.session_dir)
        started = time.monotonic()
        with _environment(settings):
            prepared = asyncio.run(run_work(settings, Prepare(epoch=1, browser_version="999.0.0.0"), 60))
        assert isinstance(prepared, Prepared)
        assert prepared.restored is not None
        asyncio.run(_started(profile))
        took.append(time.monotonic() - started)
    return Figure("restore of 50 MB from a local S3 server to Chromium started", median_worst(took), "-", "3 s")


async def _started(profile: Path) -> None:
    async with open_chromium(find_executable(None), profile, sandbox=False):
        pass


def _memory(folder: Path, s3: S3Server) -> Figure:
    s3.reset()
    with WhatsAppWeb() as whatsapp, Service(folder, whatsapp.url, **s3.settings()) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        service.client.call("backup")
        time.sleep(20)
        ours = ("browser-agent", "scheduler", "worker", "web")
        pids = {"supervisord": service.pid, **{name: service.program(name).pid for name in ours}}
        pss = {name: psutil.Process(pid).memory_full_info().pss / MB for name, pid in pids.items()}
    each = ", ".join(f"{name} {size:.0f}" for name, size in pss.items())
    return Figure(
        "memory at idle with S3 in use (PSS, five processes)", f"{sum(pss.values()):.0f} MB: {each}", "-", "190 MB"
    )


# -- details ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _browser(profile: Path) -> Iterator[tuple[Browser, int]]:
    """With its main process' id."""
    profile.mkdir(parents=True, exist_ok=True)
    with Browser(profile) as browser:
        yield browser, browser.pid


def _filled(browser: Browser, site: str, megabytes: int) -> None:
    page = browser.new_page()
    page.devtools.call("Page.navigate", url=site)
    wait_until(lambda: page.evaluate("location.href") == site, 10, "the page is loaded")
    page.evaluate(f"{_FILL}({megabytes})")
    time.sleep(3)  # until LevelDB has merged its tables and nothing moves any more


def _settings(folder: Path, **variables: str) -> Settings:
    return Settings.from_env({"DATA_DIR": str(folder), "WHATSAPP_SESSION_ID": "bench", **variables})


@contextlib.contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """The process that saves reads its settings from the environment, as in the service."""
    given = settings.model_dump(by_alias=True, exclude_unset=True)
    shown = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in given.items()
    }
    former = dict(os.environ)
    os.environ.update({name: str(value) for name, value in shown.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


@contextlib.contextmanager
def _peak_of_children() -> Iterator[list[int]]:
    """The largest resident size of a child that saves, in bytes; looked at every few milliseconds."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.003):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "browser_agent.session" in child.cmdline():
                        peak[0] = max(peak[0], child.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
