"""Copies of a profile that a real Chromium is writing to: whole, with all that was committed, and the page goes on."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from browser_agent.session import snapshot
from browser_agent.session.manifest import check_stores
from browser_agent.session.snapshot import BrowserMoved, stage
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Browser, Page

COPIES = int(os.environ.get("SNAPSHOT_COPIES", "6"))
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
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>empty</title>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def opened(browser: Browser, site: str) -> Page:
    page = browser.new_page()
    page.devtools.call("Page.navigate", url=site)
    wait_until(lambda: page.evaluate("location.href") == site, 10, "the page is loaded")
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
    wait_until(lambda: page.evaluate("window.committed") > 50, 20, "it writes")
    return page


def states(browser: Browser) -> set[str]:
    main = psutil.Process(browser.pid)
    return {process.status() for process in (main, *main.children(recursive=True))}


def test_copies_under_continuous_writes_hold_all_that_was_committed(
    tmp_path: Path, browser: Browser, writing: Page, site: str
) -> None:
    for number in range(COPIES):
        copy = tmp_path / f"copy{number}"
        committed = writing.evaluate("window.committed")
        staged = stage(tmp_path / "profile", copy, browser.pid)
        print(f"stood still for {staged.stood_still_ms} ms, {staged.files} files")
        assert staged.stood_still_ms < 1000
        check_stores(copy)
        names = {path.name for path in copy.rglob("*")}
        assert "LOCK" not in names
        assert not names & {"Cache", "GPUCache", "SingletonLock", "Code Cache"}
        with Browser(copy / "profile") as other:
            assert opened(other, site).evaluate(COUNT) >= committed
        shutil.rmtree(copy)
    before = writing.evaluate("window.committed")
    wait_until(lambda: writing.evaluate("window.committed") > before, 5, "the page goes on writing")
    assert psutil.STATUS_STOPPED not in states(browser)


def test_what_is_written_once_is_linked_and_the_rest_copied(tmp_path: Path, browser: Browser, writing: Page) -> None:
    old = wait_until(lambda: list((tmp_path / "profile").rglob("*.blob/**/*")), 10, "there are blobs")
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
        assert await chromium.wait_gone(2)
        with pytest.raises(BrowserMoved):
            stage(tmp_path / "profile", tmp_path / "copy", chromium.pid)


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
    assert psutil.STATUS_STOPPED not in states(browser)
    before = writing.evaluate("window.committed")
    wait_until(lambda: writing.evaluate("window.committed") > before, 5, "the page goes on writing")


def test_without_a_browser_it_is_a_plain_copy(tmp_path: Path, site: str) -> None:
    (tmp_path / "profile").mkdir()
    with Browser(tmp_path / "profile") as browser:
        opened(browser, site).evaluate(f"(async () => {{ {OPEN} return true; }})()")
    staged = stage(tmp_path / "profile", tmp_path / "copy", None)
    assert staged.stood_still_ms == 0
    check_stores(tmp_path / "copy")
    assert set(snapshot.KEPT) >= {path.name for path in (tmp_path / "copy/profile/Default").iterdir()}
