"""Copies of a profile that a real Chromium is writing to: whole, with all that was committed, and the page goes on."""

import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from browser_agent.session import snapshot
from browser_agent.session.manifest import check_stores
from browser_agent.session.snapshot import BrowserMoved, stage
from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.cdp import CdpSession
from browser_agent.whatsapp.chromium import Chromium, open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.site import empty_site
from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Browser, Page

COPIES = int(os.environ.get("SNAPSHOT_COPIES", "10"))
OPEN = """const request = indexedDB.open('counted', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('records');
  await new Promise((resolve) => (request.onsuccess = resolve));"""
WRITE = f"""(() => {{
  window.committed = 0;
  (async () => {{
    {OPEN}
    for (let at = 1; ; at += 1) {{
      const write = request.result.transaction('records', 'readwrite');
      const value = at % 10 ? 'x'.repeat(500) : new Blob([new Uint8Array(50000)]);
      write.objectStore('records').put(value, at);
      await new Promise((resolve) => (write.oncomplete = resolve));
      window.committed = at;
    }}
  }})();
  return true;
}})()"""
# All from 1 to the last, and the blobs readable.
COUNT = f"""(async () => {{
  {OPEN}
  const read = request.result.transaction('records').objectStore('records').getAll();
  await new Promise((resolve) => (read.onsuccess = resolve));
  for (const [index, value] of read.result.entries()) {{
    const size = value instanceof Blob ? (await value.arrayBuffer()).byteLength : value.length;
    if (size !== ((index + 1) % 10 ? 500 : 50000)) return -1;
  }}
  return read.result.length;
}})()"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with empty_site() as url:
        yield url


def opened(browser: Browser, site: str) -> Page:
    page = browser.new_page()
    page.devtools.call("Page.navigate", url=site)
    wait_until(lambda: page.evaluate("location.href") == site, 20, "the page is loaded")
    return page


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    (tmp_path / "profile").mkdir()
    with Browser(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def writing(browser: Browser, site: str) -> Page:
    page = opened(browser, site)
    page.evaluate(WRITE)
    wait_until(lambda: page.evaluate("window.committed") > 50, 40, "it writes")
    return page


@contextlib.asynccontextmanager
async def as_the_agent_opens_it(profile: Path, site: str) -> AsyncIterator[tuple[Chromium, CdpSession]]:
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=20)
        try:
            session = await cdp.first_tab(browser, within_s=20)
            await session.call("Page.navigate", {"url": site}, within_s=20)
            async with asyncio.timeout(20):
                while await evaluated(session, "location.href + document.readyState") != f"{site}complete":
                    await asyncio.sleep(0.02)
            yield chromium, session
        finally:
            await cdp.connection_of(browser).dispose()


async def evaluated(session: CdpSession, expression: str) -> Any:
    parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
    answer = await session.call("Runtime.evaluate", parameters, within_s=20)
    return answer["result"].get("value")


async def committed_beyond(session: CdpSession, number: int) -> int:
    """What the page says it has committed, when that is more."""
    async with asyncio.timeout(20):
        while (committed := int(await evaluated(session, "window.committed"))) <= number:
            await asyncio.sleep(0.02)
    return committed


def processes_of(pid: int) -> list[psutil.Process]:
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


def stopped(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() == psutil.STATUS_STOPPED]


async def test_copies_under_continuous_writes_hold_all_that_was_committed(tmp_path: Path, site: str) -> None:
    profile = tmp_path / "agent" / "profile"
    profile.parent.mkdir()
    async with as_the_agent_opens_it(profile, site) as (chromium, writing):
        await evaluated(writing, WRITE)
        committed = await committed_beyond(writing, 50)
        stood_still_ms: list[float] = []
        for number in range(COPIES):
            copy = tmp_path / f"copy{number}"
            committed = await committed_beyond(writing, committed)
            staged = await asyncio.to_thread(stage, profile, copy, chromium.pid)
            stood_still_ms.append(staged.stood_still_ms)
            check_stores(copy)
            names = {path.name for path in copy.rglob("*")}
            assert "LOCK" not in names
            assert not names & {"Cache", "GPUCache", "SingletonLock", "Code Cache"}
            async with as_the_agent_opens_it(copy / "profile", site) as (_, reading):
                assert await evaluated(reading, COUNT) >= committed, f"copy {number}"
            shutil.rmtree(copy)
        print(f"stood still for at most {max(stood_still_ms)} ms, {staged.files} files")
        assert statistics.median(stood_still_ms) < 1000  # once or twice we may have stood still ourselves
        committed = await committed_beyond(writing, committed)
        await committed_beyond(writing, committed)
        assert stopped(processes_of(chromium.pid)) == []


def test_what_is_written_once_is_linked_and_the_rest_copied(tmp_path: Path, browser: Browser, writing: Page) -> None:
    old = wait_until(lambda: list((tmp_path / "profile").rglob("*.blob/**/*")), 20, "there are blobs")
    blobs = [path for path in old if path.is_file()]
    for blob in blobs:
        os.utime(blob, (1, 1))
    stage(tmp_path / "profile", tmp_path / "copy", browser.pid)
    assert any((tmp_path / "copy" / path.relative_to(tmp_path)).samefile(path) for path in blobs if path.exists())
    for log in (tmp_path / "copy").rglob("*.log"):
        assert log.stat().st_nlink == 1


def test_without_hard_links_it_copies(tmp_path: Path, browser: Browser, writing: Page) -> None:
    """Another file system, as /dev/shm is one."""
    elsewhere = Path("/dev/shm") / f"snapshot-{os.getpid()}"
    assert Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev, "no second file system to try it on"
    try:
        stage(tmp_path / "profile", elsewhere, browser.pid)
        check_stores(elsewhere)
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


async def test_a_browser_that_is_gone_gives_no_snapshot(tmp_path: Path) -> None:
    async with open_chromium(find_executable(None), tmp_path / "profile", sandbox=False) as chromium:
        os.kill(chromium.pid, signal.SIGKILL)
        assert await chromium.wait_gone(20)
        with pytest.raises(BrowserMoved):
            stage(tmp_path / "profile", tmp_path / "copy", chromium.pid)


async def test_a_browser_killed_while_it_stands_still_gives_no_snapshot(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying, goes_on, copy = threading.Event(), threading.Event(), shutil.copyfile

    def slowly(source: Path, target: Path, **how: Any) -> Path:
        copying.set()
        assert goes_on.wait(30)
        return copy(source, target, **how)

    monkeypatch.setattr(shutil, "copyfile", slowly)
    profile = tmp_path / "agent" / "profile"
    profile.parent.mkdir()
    async with as_the_agent_opens_it(profile, site) as (chromium, session):
        await evaluated(session, f"(async () => {{ {OPEN} return true; }})()")
        known = processes_of(chromium.pid)
        staging = asyncio.create_task(asyncio.to_thread(stage, profile, tmp_path / "copy", chromium.pid))
        try:
            assert await asyncio.to_thread(copying.wait, 30)
            assert stopped(known)
            os.kill(chromium.pid, signal.SIGKILL)
        finally:
            goes_on.set()
        with pytest.raises(BrowserMoved):
            await staging
        assert stopped(known) == []
        assert await chromium.wait_gone(20)


def test_after_a_full_disk_nothing_stays_stopped(tmp_path: Path, browser: Browser, writing: Page) -> None:
    """A copy on a file system of 64 KiB, which only root can mount."""
    into = tmp_path / "small"
    into.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(into)], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            stage(tmp_path / "profile", into / "copy", browser.pid)
    finally:
        subprocess.run(["umount", "-l", str(into)], check=True)
    assert stopped(processes_of(browser.pid)) == []
    before = writing.evaluate("window.committed")
    wait_until(lambda: writing.evaluate("window.committed") > before, 20, "the page goes on writing")


def test_without_a_browser_it_is_a_plain_copy(tmp_path: Path, site: str) -> None:
    (tmp_path / "profile").mkdir()
    with Browser(tmp_path / "profile") as browser:
        opened(browser, site).evaluate(f"(async () => {{ {OPEN} return true; }})()")
    staged = stage(tmp_path / "profile", tmp_path / "copy", None)
    assert staged.stood_still_ms == 0
    check_stores(tmp_path / "copy")
    assert set(snapshot.KEPT) >= {path.name for path in (tmp_path / "copy/profile/Default").iterdir()}
