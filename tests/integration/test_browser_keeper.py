"""The keeper with real browsers, on a site of the test's own: what it survives, what it gives and leaves."""

import asyncio
import gc
import json
import os
import signal
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import fakeredis.aioredis
import psutil
import pytest

from browser_agent.start_budget import StartBudget
from browser_agent.whatsapp.chromium import KILL_WITHIN_S, TERM_WITHIN_S
from browser_agent.whatsapp.net_errors import SiteUnreachable, may_be_cut_off
from browser_agent.whatsapp.page import CLOSE_WITHIN_S, EXIT_WITHIN_S
from tests.harness.kept_browser import Setting, Site, answering_site, running, until
from whatsapp_contract.names import InstanceNames


def is_ours(process: psutil.Process) -> bool:
    try:
        return process.ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return False


def is_on_disk(item: bytes, profile: Path) -> bool:
    return any(item in log.read_bytes() for log in profile.glob("Default/Local Storage/leveldb/*.log"))


class SpentByEachStart(StartBudget):
    """Holds before every start, for as short as can be."""

    def __init__(self) -> None:
        super().__init__(fakeredis.aioredis.FakeRedis(), InstanceNames("sid", "instance"), 1, 600.0)
        self._held = False

    async def held_until(self) -> float | None:
        self._held = not self._held
        return time.time() if self._held else None


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with answering_site() as site:
        yield site


@pytest.fixture
def setting(tmp_path: Path, site: Site) -> Setting:
    return Setting(tmp_path, site)


# -- what it survives ------------------------------------------------------------------------------------------------


async def test_a_browser_that_an_upgrade_removes_for_a_while_is_waited_for(setting: Setting) -> None:
    aside = setting.executable.rename(setting.executable.with_name("aside"))
    setting.executable.symlink_to("/proc/self/none")
    async with setting.kept():
        await until(lambda: setting.told.failures)
        setting.executable.unlink()
        aside.rename(setting.executable)
        await setting.loaded()
    assert "browser_gone" in setting.told.failures[0]


async def test_a_full_disk_ends_nothing(setting: Setting) -> None:
    setting.profile.write_text("")  # no folder can be made here
    async with setting.kept():
        await until(lambda: setting.told.failures)
        setting.profile.unlink()
        await setting.loaded()
    assert "profile" in setting.told.failures[0]


async def test_a_browser_lost_as_it_comes_up_is_started_again(setting: Setting) -> None:
    async with setting.kept():
        for _ in range(3):
            await until(lambda: [process for process in running(setting.profile) if is_ours(process)])
            for process in running(setting.profile):
                with suppress(psutil.Error):
                    process.kill()
        await setting.loaded()
    assert running(setting.profile) == []


async def test_one_that_came_up_is_started_again_at_once_however_often_it_is_killed(setting: Setting) -> None:
    async with setting.kept():
        for life in range(1, 7):
            await until(lambda life=life: setting.keeper._loaded == life)  # type: ignore[misc]  # a default
            chromium = setting.keeper.chromium
            assert chromium is not None
            os.kill(chromium.pid, signal.SIGKILL)
        await until(lambda: len(setting.told.pauses_s) == 6)
    assert setting.told.pauses_s[-1] < 6  # doubled each time, it would be eight seconds, less a fifth at most


async def test_a_spent_budget_is_news_once_until_a_browser_has_come_up(tmp_path: Path, site: Site) -> None:
    setting = Setting(tmp_path, site, budget=SpentByEachStart())
    setting.broken.touch()
    async with setting.kept():
        await until(lambda: len(setting.told.held) == 2)
        setting.broken.unlink()
        await setting.loaded()
        setting.broken.touch()
        assert setting.keeper.chromium is not None
        os.kill(setting.keeper.chromium.pid, signal.SIGKILL)
        await until(lambda: len(setting.told.held) == 4)
    assert setting.told.held == [True, False, True, False]


async def test_a_store_that_cannot_be_reached_keeps_the_browser_from_starting(setting: Setting) -> None:
    setting.told.refusals = 1
    async with setting.kept():
        await setting.loaded()
    assert setting.told.failures == ["store_unavailable: no store"]
    assert len(setting.told.prepared) == 2
    assert setting.told.prepared[0].count(".") == 3


# -- a site that cannot be loaded ------------------------------------------------------------------------------------


async def test_why_the_site_cannot_be_loaded_is_known_until_it_can(setting: Setting) -> None:
    setting.site.down = True
    async with setting.kept():
        await until(lambda: setting.keeper.load_error)
        assert not may_be_cut_off(setting.keeper.load_error or "")
        setting.site.down = False
        await setting.loaded()
        assert setting.keeper.load_error is None


async def test_a_page_that_is_loaded_anew_while_the_site_is_away_comes_back_with_it(setting: Setting) -> None:
    """In the same browser and the same process of the page: neither is to blame."""
    async with setting.kept():
        await setting.loaded()
        (page,) = setting.told.pages
        page.session.on("Inspector.targetCrashed", lambda _params: setting.told.failures.append("crashed"))
        setting.site.down = True
        with pytest.raises(SiteUnreachable, match="cannot be loaded"):
            await page.reload()
        await until(lambda: setting.keeper.load_error)
        assert setting.told.reasons == ["site_unreachable"]
        setting.site.down = False
        await until(lambda: setting.keeper.load_error is None)
        await page.probe()
        assert setting.told.pages == [page]
        assert setting.told.failures == []


async def test_a_browser_that_cannot_load_the_site_for_long_makes_way_for_another(tmp_path: Path, site: Site) -> None:
    site.down = True
    setting = Setting(tmp_path, site, new_browser_after_s=2.0)
    async with setting.kept():
        await until(lambda: len(setting.told.causes) == 2)
        assert setting.told.causes == [None, "site_unreachable"]
        site.down = False
        await setting.loaded()
        assert setting.told.reasons[:2] == ["site_unreachable"] * 2  # found, and given up
    assert setting.told.failures == []


# -- what it gives and what it leaves --------------------------------------------------------------------------------


async def test_a_dump_of_localstorage_is_given_to_the_first_document_once(setting: Setting) -> None:
    dump = {"origin": setting.site.url.rstrip("/"), "items": {"key": "value"}}
    setting.told.dump = json.dumps(dump)
    async with setting.kept():
        await setting.loaded()
        assert setting.told.dump is None
        assert setting.keeper.page is not None
        assert await setting.keeper.page.local_storage() == dump
        await until(lambda: is_on_disk(b"value", setting.profile))  # it may be killed before it has written that
        await setting.keeper.restart("asked", 45)
        assert setting.keeper.page is not None
        assert await setting.keeper.page.local_storage() == dump  # from the profile


async def test_what_a_former_page_took_is_free_when_the_next_is_there(setting: Setting) -> None:
    gc.disable()  # what Python would collect by itself, sooner or later
    try:
        async with setting.kept():
            await setting.loaded()
            former = weakref.ref(setting.told.pages.pop())
            await setting.keeper.restart("asked", 45)
            assert former() is None
    finally:
        gc.enable()


async def test_waiting_for_the_store_can_be_cancelled(setting: Setting) -> None:
    setting.told.gate.clear()
    async with setting.kept():
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await setting.stop()
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.2, 0.3, 0.5])
async def test_cancelled_as_the_browser_comes_up_it_leaves_nothing(setting: Setting, after_s: float) -> None:
    async with setting.kept():
        await asyncio.sleep(after_s)
        await setting.stop()
        assert running(setting.profile) == []


@pytest.mark.parametrize("whose", ["all", "renderers"])
async def test_a_frozen_chromium_is_gone_within_three_seconds(setting: Setting, whose: str) -> None:
    async with setting.kept():
        await setting.loaded()
        assert setting.keeper.chromium is not None
        if whose == "all":
            os.killpg(setting.keeper.chromium.pid, signal.SIGSTOP)
        else:
            for process in running(setting.profile):
                if "--type=renderer" in process.cmdline():
                    process.suspend()
        started = time.monotonic()
        await setting.stop()
        took_s = time.monotonic() - started
        assert running(setting.profile) == []
    # What each step has at most; what the machine adds is not ours.
    assert CLOSE_WITHIN_S + EXIT_WITHIN_S + TERM_WITHIN_S + KILL_WITHIN_S < 3
    assert took_s < 10
