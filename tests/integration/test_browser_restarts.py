"""Restarts of the browser that somebody wants: which browser they are answered with, and when. With real ones."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.harness.kept_browser import Setting, answering_site, running, until


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with answering_site() as site:
        yield Setting(tmp_path, site)


async def test_a_restart_is_answered_with_a_browser_that_was_opened_after_it(setting: Setting) -> None:
    async with setting.kept():
        await setting.loaded()
        former = setting.keeper.chromium
        assert former is not None
        chromium = await setting.keeper.restart("asked", 45)
        assert chromium.pid != former.pid
        assert chromium.is_running
    assert setting.told.causes == [None, "asked"]


async def test_a_restart_while_a_browser_comes_up_is_not_answered_with_that_one(setting: Setting) -> None:
    coming: list[psutil.Process] = []

    def is_coming() -> bool:
        coming.extend(
            running(setting.profile)
        )  # kept: a program that another takes the place of is hidden for a moment
        return bool(coming)

    async with setting.kept():
        await until(is_coming)
        chromium = await setting.keeper.restart("asked", 45)
        assert chromium.pid != coming[0].pid
        assert chromium.is_running
        assert setting.keeper._opened == 2
    assert setting.told.causes[-1] == "asked"


async def test_a_restart_does_not_wait_for_a_site_that_says_nothing(setting: Setting) -> None:
    setting.site.mute = True
    async with setting.kept():
        await until(lambda: setting.site.asked)
        coming = setting.keeper.chromium
        assert coming is not None
        setting.site.mute = False
        chromium = await setting.keeper.restart("asked", 45)
        assert setting.told.reasons == ["restart_browser"]  # and not that the site could not be loaded, after 20 s
        assert chromium.pid != coming.pid


async def test_who_asks_while_the_start_is_prepared_gets_the_browser_that_follows(setting: Setting) -> None:
    setting.told.gate.clear()
    async with setting.kept():
        await until(lambda: setting.told.preparing)
        asking = asyncio.create_task(setting.keeper.restart("asked", 45))
        await asyncio.sleep(0.3)
        setting.told.gate.set()
        assert (await asking).is_running
        assert setting.keeper._opened == 1
    assert setting.told.causes == ["asked"]


async def test_the_asked_cause_is_told_also_when_the_first_start_failed(setting: Setting) -> None:
    async with setting.kept():
        await setting.loaded()
        setting.broken.touch()
        asking = asyncio.create_task(setting.keeper.restart("the ladder", 45))
        await until(lambda: setting.told.failures)
        setting.broken.unlink()
        assert (await asking).is_running
    assert setting.told.causes == [None, "the ladder"]
