"""The browser's process: ours alone, started with our arguments, and never left behind."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from browser_agent.process_tree import processes_of
from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import browser_version, open_chromium, sweep
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.leftovers import NOTE
from tests.harness.waiting import wait_until
from whatsapp_contract.errors import BrowserGone


def command_line(process: psutil.Process) -> str:
    """Nothing where it is over."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def running(profile: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and str(profile) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def test_the_binary_behind_a_wrapper_is_taken_and_a_given_one_wins(tmp_path: Path) -> None:
    found = find_executable(None)
    assert found.read_bytes()[:4] == b"\x7fELF"
    mine = tmp_path / "browser"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    assert find_executable(mine) == mine
    with pytest.raises(BrowserGone, match="PUPPETEER_EXECUTABLE_PATH"):
        find_executable(tmp_path / "none")


async def test_the_argument_list_is_wholly_ours_and_no_secret_is_among_its_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "profile"
    monkeypatch.setenv("BUCKET_STATE_SECRET_KEY", "hidden")
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@localhost:6379/0")
    monkeypatch.setenv("https_proxy", "http://somebody:hidden@proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "somebody:hidden@proxy.example:3128")
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        environ = psutil.Process(chromium.pid).environ()
        assert environ["https_proxy"] == "http://proxy.example:3128"
        assert environ["HTTP_PROXY"] == "proxy.example:3128"
        assert "hidden" not in " ".join(environ.values())
        arguments = psutil.Process(chromium.pid).cmdline()
        assert "--no-sandbox" in arguments
        assert "--disable-setuid-sandbox" in arguments
        assert "--enable-automation" not in arguments
        assert not any(argument.startswith("--load-extension") for argument in arguments)
        assert sum(argument.startswith("--disable-features") for argument in arguments) == 1
        browser = await cdp.connect(chromium.endpoint, within_s=20)
        told = await cdp.connection_of(browser).call("Browser.getVersion", within_s=20)
        assert "Headless" not in told["userAgent"]
        assert f"Chrome/{chromium.version.split('.')[0]}.0.0.0" in told["userAgent"]
        session = (await browser.pages())[0]._client
        evaluated = await session.call("Runtime.evaluate", {"expression": "navigator.webdriver"}, within_s=20)
        assert evaluated["result"]["value"] is False
        await cdp.connection_of(browser).dispose()
    assert running(profile) == []


async def test_no_page_is_loaded_but_ours(tmp_path: Path) -> None:
    """Pages of the browser's own have a renderer, too, and took more time and memory than the site's start."""
    async with open_chromium(find_executable(None), tmp_path / "profile", sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=20)
        connection = cdp.connection_of(browser)
        found = await connection.call("Target.getTargets", {"filter": [{}]}, within_s=20)
        assert {target["url"] for target in found["targetInfos"]} == {"about:blank"}
        renderers = [p.cmdline() for p in psutil.Process(chromium.pid).children(recursive=True)]
        assert not any("--top-chrome-webui" in arguments for arguments in renderers)
        await connection.dispose()


async def test_devtools_listens_on_the_loopback_only(tmp_path: Path) -> None:
    async with open_chromium(find_executable(None), tmp_path / "profile", sandbox=False) as chromium:
        listening = [c for c in psutil.Process(chromium.pid).net_connections("tcp") if c.status == "LISTEN"]
        assert [c.laddr.ip for c in listening] == ["127.0.0.1"]


async def test_the_lock_of_another_host_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "SingletonLock").symlink_to("another-host-12345")
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        assert chromium.is_running


async def test_a_former_browser_on_the_profile_is_swept_away_first(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with (
        open_chromium(find_executable(None), profile, sandbox=False) as former,
        open_chromium(find_executable(None), profile, sandbox=False) as chromium,
    ):
        assert await former.wait_gone(20)
        assert chromium.is_running
    assert running(profile) == []


async def test_a_killed_browser_leaves_no_children(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        os.kill(chromium.pid, signal.SIGKILL)
        assert await chromium.wait_gone(20)
    assert running(profile) == []


async def test_a_frozen_browser_is_ended_all_the_same(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        os.killpg(chromium.pid, signal.SIGSTOP)
    assert running(profile) == []


async def test_a_frozen_browser_is_killed_also_when_its_ending_is_cancelled(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    opened = asyncio.Event()

    async def hold() -> None:
        async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
            os.killpg(chromium.pid, signal.SIGSTOP)
            opened.set()
            await asyncio.sleep(60)

    holding = asyncio.create_task(hold())
    await opened.wait()
    holding.cancel()
    await asyncio.sleep(0.05)
    holding.cancel()
    started = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert time.monotonic() - started < 10
    assert running(profile) == []


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path, after_s: float) -> None:
    profile = tmp_path / "profile"
    await browser_version(find_executable(None), tmp_path / "browser-version.json")
    opening = open_chromium(find_executable(None), profile, sandbox=False)
    starting = asyncio.create_task(opening.__aenter__())
    await asyncio.sleep(after_s)
    if not starting.done():
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    else:
        await opening.__aexit__(None, None, None)
    assert running(profile) == []


async def test_a_browser_that_is_slow_to_say_its_version_leaves_nothing(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\nsleep 62.{os.getpid()} {tmp_path} || sleep 62.{os.getpid()}\n")
    slow.chmod(0o755)

    def left() -> list[psutil.Process]:
        return [child for child in psutil.Process().children(recursive=True) if "62." in command_line(child)]

    asking = asyncio.create_task(browser_version(slow, tmp_path / "version.json"))
    while not left():
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert left() == []
    with pytest.raises(BrowserGone, match="said nothing within 10 s"):
        await browser_version(slow, tmp_path / "version.json")
    assert left() == []


async def test_a_version_that_cannot_be_kept_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "version.json").mkdir()
    version = await browser_version(find_executable(None), tmp_path / "version.json")
    assert version.count(".") == 3
    assert await browser_version(find_executable(None), tmp_path / "none" / "version.json") == version


async def test_what_the_system_refuses_is_a_browser_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chrome, profile = find_executable(None), tmp_path / "profile"
    with pytest.raises(BrowserGone, match="not there"):  # an upgrade has just removed it
        async with open_chromium(tmp_path / "none", profile, sandbox=False):
            pass
    (tmp_path / "full").write_text("")
    with pytest.raises(BrowserGone, match="profile"):
        async with open_chromium(chrome, tmp_path / "full" / "profile", sandbox=False):
            pass
    await browser_version(chrome, tmp_path / "browser-version.json")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrowserGone, match="setpriv cannot be run"):
        async with open_chromium(chrome, profile, sandbox=False):
            pass


async def test_a_line_without_an_end_does_not_stop_the_reading(tmp_path: Path) -> None:
    chatty = tmp_path / "chatty"
    chatty.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Chromium 1.2.3" && exit 0\n'
        "printf '%0200000d' 7 >&2; echo >&2; echo 'DevTools listening on ws://here' >&2\n"
        f"printf '%0500000d' 7 >&2; echo > {tmp_path}/wrote; exec sleep 60\n"
    )
    chatty.chmod(0o755)
    async with open_chromium(chatty, tmp_path / "profile", sandbox=False) as chromium:
        assert chromium.endpoint == "ws://here"
        while not (tmp_path / "wrote").exists():
            await asyncio.sleep(0.01)


async def test_a_browser_that_cannot_start_says_why_in_time(tmp_path: Path) -> None:
    broken = tmp_path / "chrome"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Chromium 1.2.3" && exit 0\necho no display >&2; exit 21\n'
    )
    broken.chmod(0o755)
    with pytest.raises(BrowserGone, match="ended with code 21: no display"):
        async with open_chromium(broken, tmp_path / "profile", sandbox=False):
            pass
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    with pytest.raises(BrowserGone, match="--version said"):
        async with open_chromium(silent, tmp_path / "profile", sandbox=False):
            pass


OWNER = """
import asyncio, json, os, sys
from pathlib import Path
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.leftovers import NOTE

async def main():
    async with open_chromium(find_executable(None), Path(sys.argv[1]), sandbox=False) as chromium:
        print(json.dumps(chromium.pid), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_killed_owner_takes_its_browser_with_it(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    with subprocess.Popen([sys.executable, "-c", OWNER, str(profile)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert psutil.pid_exists(json.loads(owner.stdout.readline()))
        owner.kill()
    wait_until(lambda: not running(profile), 30, "the browser is gone")
    folder = temporary_of(profile)
    assert folder.exists()  # nobody was left to remove it
    sweep(profile)  # as the next owner does
    assert not folder.exists()


def temporary_of(profile: Path) -> Path:
    """The folder of the browser that runs on this profile now."""
    return Path((profile.parent / NOTE).read_text())


async def test_its_temporary_files_are_in_a_folder_of_its_own_that_goes_with_it(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False):
        folder = temporary_of(profile)
        assert [path.name for path in folder.glob("org.chromium.Chromium.*/SingletonSocket")] == ["SingletonSocket"]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert not (profile.parent / NOTE).exists()


async def test_a_temporary_folder_too_deep_for_a_socket_is_put_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False):
        folder = temporary_of(profile)
        assert deep not in folder.parents
        assert list(folder.glob("org.chromium.Chromium.*/SingletonSocket"))
    assert not folder.exists()


def test_what_a_killed_browser_left_on_the_disk_is_removed_and_nothing_else(tmp_path: Path) -> None:
    profile, elsewhere = tmp_path / "profile", tmp_path / "elsewhere"
    old = tmp_path / "org.chromium.Chromium.AbCdEf"
    for folder in (profile / "Crash Reports" / "pending", old, elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (profile / "SingletonSocket").symlink_to(old / "SingletonSocket")
    (profile / "Preferences").write_text("{}")
    sweep(profile)
    assert not old.exists()
    assert not (profile / "Crash Reports").exists()
    assert (profile / "Preferences").exists()

    # The note may name anything by now.
    pointing = tmp_path / "wa-browser-1"
    pointing.symlink_to(elsewhere)
    for noted in (str(elsewhere), str(pointing), "wa-browser-2", ""):
        (tmp_path / NOTE).write_text(noted)
        sweep(profile)
        assert (elsewhere / "file").exists()


async def test_many_leftovers_are_removed_beside_the_event_loop_and_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, folder = tmp_path / "profile", tmp_path / "wa-browser-1"
    folder.mkdir()
    (folder / "file").touch()
    (tmp_path / NOTE).write_text(str(folder))
    begun, goes_on, rmtree = threading.Event(), threading.Event(), shutil.rmtree

    def takes_long(path: Path, **options: Any) -> None:
        begun.set()
        goes_on.wait(20)  # to the end of it where the loop has to wait, too
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", takes_long)
    opening = asyncio.create_task(open_chromium(tmp_path / "none", profile, sandbox=False).__aenter__())
    async with asyncio.timeout(15):
        while not begun.is_set():
            await asyncio.sleep(0.01)
    assert folder.exists()
    opening.cancel()
    await asyncio.wait([opening], timeout=0.2)
    assert not opening.done()
    goes_on.set()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert not folder.exists()


def test_shared_memory_of_killed_browsers_is_removed_when_it_is_old(tmp_path: Path) -> None:
    old, new = (Path("/dev/shm") / f".org.chromium.Chromium.{os.getpid()}{name}" for name in "ab")
    try:
        for file in (old, new):
            file.write_text("x")
        os.utime(old, (time.time() - 61, time.time() - 61))
        sweep(tmp_path / "profile")
        assert (old.exists(), new.exists()) == (False, True)
    finally:
        for file in (old, new):
            file.unlink(missing_ok=True)


async def test_a_child_that_got_away_is_swept_with_the_browser(tmp_path: Path) -> None:
    """As a crash handler does: a session of its own, deaf to SIGTERM, its parent gone."""
    profile = tmp_path / "profile"
    browser = tmp_path / "browser"
    child = f"import signal, time; signal.signal(15, 1); open('{tmp_path}/got-away', 'w'); time.sleep(60)"
    browser.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Chromium 1.2.3" && exit 0\n'
        f'(setsid {sys.executable} -S -c "{child}" 2>/dev/null &)\n'
        "echo 'DevTools listening on ws://here' >&2\nexec sleep 60\n"
    )
    browser.chmod(0o755)
    async with open_chromium(browser, profile, sandbox=False):
        while not (tmp_path / "got-away").exists():
            await asyncio.sleep(0.01)
        while len(processes_of(profile)) != 2:  # what takes another program's place shows neither for a moment
            await asyncio.sleep(0.01)
    assert processes_of(profile) == []


@pytest.mark.timeout(400)
async def test_twenty_browsers_one_after_the_other_leave_nothing(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    for round_ in range(20):
        async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
            if round_ % 2:
                os.killpg(chromium.pid, signal.SIGKILL)
            else:
                await asyncio.sleep(0)
    assert running(profile) == []
