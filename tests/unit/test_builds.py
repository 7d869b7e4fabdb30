"""Builds: what is probed and when, and what a page that does not obey must not set off."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from browser_agent.whatsapp import needs
from browser_agent.whatsapp.models import StreamSnapshot
from tests.harness.builds_bench import BAD, DOCUMENT, GOOD, LOADED, Bench, running, soon
from whatsapp_contract.states import SessionState


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path) as bench:
        yield bench


@pytest.fixture
def impatient(bench: Bench) -> None:
    """A page that never loads all is probed at once."""
    bench.wait_no_longer_than(stuck_after_s=0.05, syncing_after_s=0.1)


@pytest.mark.usefixtures("impatient")
async def test_what_lacks_something_before_it_is_whole_is_loaded_anew_before_that_is_believed(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.state = SessionState.SYNCING
    await soon(lambda: len(bench.reloads) > 1)
    assert bench.believed[0] == ([], ())
    assert (bench.reloads, bench.alerts) == (["half_loaded", "build_fallback"], ["calls_broken", "build_fallback"])


@pytest.mark.usefixtures("impatient")
async def test_a_build_in_which_wa_js_is_never_injected_is_gone_back_from(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.state = SessionState.STARTING
    bench.page.never_injects()
    await soon(lambda: bench.page.snapshot.version == GOOD)
    assert bench.reloads == ["half_loaded", "build_fallback"]
    assert bench.alerts == ["calls_broken", "build_fallback"]
    assert bench.memory.known[BAD].broken.keys() == needs.CALLS.keys()


@pytest.mark.usefixtures("impatient")
async def test_a_document_that_has_not_come_whole_says_nothing_of_its_build(bench: Bench) -> None:
    bench.state = SessionState.STARTING
    bench.page.never_injects()
    bench.page.lacks_without_wa_js = None
    await soon(lambda: bench.page.probes > 10)
    assert (bench.reloads, bench.alerts) == ([], [])


@pytest.mark.usefixtures("impatient")
async def test_a_page_probed_before_it_was_whole_is_probed_again(bench: Bench) -> None:
    bench.state = SessionState.SYNCING
    await soon(lambda: bench.builds.broken_calls != ())
    bench.page.missing, bench.state = (), SessionState.READY
    bench.builds.on_page_event(LOADED)
    await soon(lambda: bench.builds.broken_calls == ())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("state", "since"),
    [
        (SessionState.DISCONNECTED, None),
        (SessionState.STARTING, "site_silent_since"),
        (SessionState.READY, "site_silent_since"),
        (SessionState.STARTING, "browser_offline_since"),
    ],
)
async def test_what_a_page_lacks_without_a_network_says_nothing_of_its_build(
    bench: Bench, state: SessionState, since: str | None
) -> None:
    bench.memory.take(GOOD, {})
    bench.state = state
    bench.known = {since: bench.now - timedelta(seconds=10)} if since else {}
    await asyncio.sleep(0.2)  # twenty looks
    assert (bench.page.probes, bench.reloads, bench.alerts) == (0, [], [])
    bench.state, bench.known = SessionState.READY, {}
    await soon(lambda: bench.reloads != [])


@pytest.mark.usefixtures("impatient")
async def test_what_was_broken_before_is_not_expected_for_ever(bench: Bench) -> None:
    bench.memory.take(BAD, {"messages_in": ("MsgStore",)})
    bench.state = SessionState.DISCONNECTED
    await soon(lambda: bench.builds.broken_calls != ())
    await soon(lambda: bench.builds.broken_calls == ())


async def test_where_the_last_good_build_is_not_kept_an_earlier_one_is_served(bench: Bench) -> None:
    """The site changes by the day, and the package with the release."""
    bench.memory.take(GOOD, {})
    bench.now += timedelta(days=1)
    bench.memory.take("2.3000.150", {})  # none of those in the package
    await bench.gone_back()
    assert bench.alerts == ["calls_broken", "build_fallback"]


async def test_where_no_good_build_is_kept_that_is_told_once(bench: Bench) -> None:
    bench.memory.take("2.3000.150", {})
    for _ in range(3):
        bench.builds.on_page_event(DOCUMENT)
        await bench.probed()
    await soon(lambda: len(bench.alerts) > 1)
    assert (bench.alerts, bench.reloads) == (["calls_broken", "build_fallback_missing"], [])


async def test_a_last_good_build_that_could_not_be_served_is_not_given_up(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.memory.take(BAD, {"groups": ("GroupMetadataStore",)})
    bench.memory.go_back(BAD, GOOD)
    bench.builds.on_page_event(LOADED)  # it is the bad one that is on show
    await soon(lambda: bench.page.probes > 1)
    await asyncio.sleep(0.05)
    assert bench.memory.fallback is not None
    assert bench.alerts.count("build_fallback_failed") == 0


async def test_the_sites_own_is_served_again_when_it_has_a_later_build(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    await bench.gone_back()
    for served in ("200", "199", "20", None):  # the bad one, older ones, and none that is told
        await bench.look_at_the_site(served)
    assert bench.alerts == ["calls_broken", "build_fallback"]
    await bench.look_at_the_site("1000")
    await soon(lambda: bench.memory.fallback is None)
    assert bench.alerts[2:] == ["build_fallback_over"]


async def test_a_site_that_says_one_and_gives_another_is_tried_twice_a_day(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    await bench.gone_back()
    for _ in range(2):
        await bench.look_at_the_site("300")
        await soon(lambda: bench.memory.fallback is None)
        await soon(lambda: bench.page.snapshot.version == BAD)
        await bench.gone_back()
    for _ in range(2):
        await bench.look_at_the_site("300")
    assert bench.memory.fallback is not None
    assert bench.memory.fallback.is_kept
    flips = ["build_fallback", "build_fallback_over"] * 2
    assert bench.alerts == ["calls_broken", *flips, "build_fallback", "build_fallback_kept"]
    bench.now += timedelta(days=1)
    await bench.look_at_the_site("300")
    await soon(lambda: bench.alerts[-1] == "build_fallback_over")


@pytest.mark.parametrize(
    ("reason", "ends"), [("deprecated_version", True), ("tos_block", False), ("proxyblock", False), (None, False)]
)
async def test_only_a_build_that_is_not_let_in_is_given_up_for_a_block(
    bench: Bench, reason: str | None, ends: bool
) -> None:
    bench.memory.take(GOOD, {})
    await bench.gone_back()
    bench.state, bench.reason = SessionState.BLOCKED, reason
    if not ends:
        await asyncio.sleep(0.1)  # ten looks
        assert bench.alerts == ["calls_broken", "build_fallback"]
        return
    await soon(lambda: bench.reloads[-1] == "build_fallback_failed")
    assert bench.alerts[2:] == ["build_fallback_failed"]
    assert bench.page.snapshot.version == BAD
    assert not bench.memory.may_go_back_from(BAD)


async def test_a_block_of_the_bad_build_is_not_one_of_the_good(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    await bench.gone_back()
    bench.page.snapshot = StreamSnapshot(injected=True, version=BAD)
    bench.state, bench.reason = SessionState.BLOCKED, "deprecated_version"
    await asyncio.sleep(0.1)  # ten looks
    assert bench.memory.fallback is not None


async def test_another_build_than_the_one_that_is_served_is_told_once(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    await bench.gone_back()
    for _ in range(3):
        bench.page.snapshot = StreamSnapshot(injected=True, version="2.3000.150")
        bench.builds.on_page_event(DOCUMENT)
        await bench.probed()
    assert bench.alerts.count("build_not_served") == 1
