"""Builds: when a page is loaded anew for its build's sake, and when that is not needed any more."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from browser_agent.whatsapp.models import StreamSnapshot
from tests.harness.builds_bench import DOCUMENT, GOOD, LOADED, Bench, running, soon
from whatsapp_contract.errors import Busy, PageTimeout
from whatsapp_contract.states import SessionState

BUSY = Busy("backup is under way")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path) as bench:
        yield bench


@pytest.fixture
def impatient(bench: Bench) -> None:
    """A page that never loads all is probed at once."""
    bench.wait_no_longer_than(stuck_after_s=0.05, syncing_after_s=0.1)


async def ten_looks() -> None:
    await asyncio.sleep(0.1)


@pytest.mark.usefixtures("impatient")
async def test_what_is_whole_by_now_is_not_loaded_anew(bench: Bench) -> None:
    bench.state, bench.reload_fails = SessionState.SYNCING, BUSY
    await soon(lambda: bench.reloads != [])
    bench.builds.on_page_event(DOCUMENT)  # somebody else has loaded it
    bench.page.missing, bench.state, bench.reload_fails = (), SessionState.READY, None
    bench.builds.on_page_event(LOADED)
    bench.reloads.clear()
    await ten_looks()
    assert (bench.reloads, bench.alerts, bench.builds.broken_calls) == ([], [], ())


@pytest.mark.usefixtures("impatient")
async def test_what_came_to_load_all_after_all_is_not_loaded_anew(bench: Bench) -> None:
    bench.state, bench.reload_fails = SessionState.SYNCING, BUSY
    await soon(lambda: bench.reloads != [])
    bench.page.missing, bench.state, bench.reload_fails = (), SessionState.READY, None
    bench.builds.on_page_event(LOADED)
    bench.reloads.clear()
    await ten_looks()
    assert bench.reloads == []


@pytest.mark.usefixtures("impatient")
async def test_what_was_not_loaded_anew_for_want_of_a_network_is_not_believed_for_that(bench: Bench) -> None:
    bench.state, bench.reload_fails = SessionState.SYNCING, BUSY
    await soon(lambda: bench.reloads != [])
    bench.state, bench.reload_fails = SessionState.DISCONNECTED, None
    bench.reloads.clear()
    await ten_looks()
    assert (bench.reloads, bench.alerts) == ([], [])
    bench.state = SessionState.SYNCING
    await soon(lambda: bench.alerts != [])
    assert bench.reloads[:1] == ["half_loaded"]


@pytest.mark.usefixtures("impatient")
async def test_what_cannot_be_loaded_anew_and_stays_is_believed(bench: Bench) -> None:
    bench.state, bench.reload_fails = SessionState.SYNCING, PageTimeout("the page did not come back")
    await soon(lambda: bench.alerts[:1] == ["calls_broken"])
    assert "messages_in" in bench.builds.broken_calls
    assert bench.reloads == ["half_loaded"]


async def test_a_new_browser_that_shows_the_good_build_already_is_left_alone(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.reload_fails = BUSY
    bench.builds.on_page_event(LOADED)
    await soon(lambda: bench.reloads != [])
    await bench.new_browser()
    bench.reload_fails = None
    bench.reloads.clear()
    await ten_looks()
    assert (bench.reloads, bench.page.snapshot.version) == ([], GOOD)


async def test_a_page_that_another_loaded_and_that_shows_the_good_build_is_left_alone(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.reload_fails = BUSY
    bench.builds.on_page_event(LOADED)
    await soon(lambda: bench.reloads != [])
    bench.page.snapshot = StreamSnapshot(injected=False)  # it has begun, and tells nothing yet
    bench.builds.on_page_event(DOCUMENT)
    bench.reload_fails = None
    bench.reloads.clear()
    await ten_looks()
    bench.page.load()
    await ten_looks()
    assert (bench.reloads, bench.page.snapshot.version) == ([], GOOD)


async def test_nothing_is_loaded_anew_under_a_person_who_scans(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.reload_fails = BUSY
    bench.builds.on_page_event(LOADED)
    await soon(lambda: bench.reloads != [])
    bench.state, bench.reload_fails = SessionState.AWAITING_SCAN, None
    bench.reloads.clear()
    await ten_looks()
    assert bench.reloads == []
    bench.state = SessionState.READY
    await soon(lambda: bench.page.snapshot.version == GOOD)


async def test_a_first_sync_is_given_minutes(bench: Bench) -> None:
    bench.wait_no_longer_than(stuck_after_s=0.01)
    bench.state = SessionState.SYNCING
    await ten_looks()
    assert bench.page.probes == 0
    bench.state = SessionState.STARTING
    await soon(lambda: bench.page.probes > 0)


async def test_a_reload_that_fails_is_not_tried_without_end(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.reload_fails = PageTimeout("the page did not come back")
    bench.builds.on_page_event(LOADED)
    await soon(lambda: bench.reloads != [])
    await asyncio.sleep(0.2)  # twenty looks
    assert bench.reloads == ["build_fallback"]
    assert bench.page.document.wanted is not None  # for whoever loads it next


async def test_a_reload_beside_another_operation_comes_later(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.reload_fails = BUSY
    bench.builds.on_page_event(LOADED)
    await soon(lambda: len(bench.reloads) > 1)
    bench.reload_fails = None
    await soon(lambda: bench.page.snapshot.version == GOOD)
