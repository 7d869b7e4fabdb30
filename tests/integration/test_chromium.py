"""The browser's process: ours alone, started with our arguments, and never left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import open_chromium, sweep
from browser_agent.whatsapp.executable import find_executable
from tests.harness.waiting import wait_until
from whatsapp_contract.errors import BrowserGone


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


async def test_the_argument_list_is_wholly_ours(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        arguments = psutil.Process(chromium.pid).cmdline()
        assert "--no-sandbox" in arguments
        assert "--disable-setuid-sandbox" in arguments
        assert "--enable-automation" not in arguments
        assert not any(argument.startswith("--load-extension") for argument in arguments)
        assert sum(argument.startswith("--disable-features") for argument in arguments) == 1
        browser = await cdp.connect(chromium.endpoint, within_s=5)
        told = await cdp.connection_of(browser).call("Browser.getVersion", within_s=5)
        assert "Headless" not in told["userAgent"]
        assert f"Chrome/{chromium.version.split('.')[0]}.0.0.0" in told["userAgent"]
        session = (await browser.pages())[0]._client
        evaluated = await session.call("Runtime.evaluate", {"expression": "navigator.webdriver"}, within_s=5)
        assert evaluated["result"]["value"] is False
        await cdp.connection_of(browser).dispose()
    assert running(profile) == []


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
        assert await former.wait_gone(1)
        assert chromium.is_running
    assert running(profile) == []


async def test_a_killed_browser_leaves_no_children(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        os.kill(chromium.pid, signal.SIGKILL)
        assert await chromium.wait_gone(2)
    assert running(profile) == []


async def test_a_frozen_browser_is_ended_all_the_same(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        os.killpg(chromium.pid, signal.SIGSTOP)
    assert running(profile) == []


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
    wait_until(lambda: not running(profile), 5, "the browser is gone")


def test_sweeping_kills_a_browser_s_descendants_that_made_their_own_session(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    script = (
        f"import os, subprocess, sys, time; subprocess.Popen(['setsid', 'sleep', '61.{os.getpid()}']); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, f"--user-data-dir={profile}"]) as browser:
        child = wait_until(lambda: psutil.Process(browser.pid).children(), 5, "the child runs")[0]
        assert sweep(profile) == 2
        browser.wait(5)
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5, "the child is gone")


async def test_twenty_browsers_one_after_the_other_leave_nothing(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    for round_ in range(20):
        async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
            if round_ % 2:
                os.killpg(chromium.pid, signal.SIGKILL)
            else:
                await asyncio.sleep(0)
    assert running(profile) == []
