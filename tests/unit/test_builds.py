"""Builds: what is probed and when, and what a page that does not obey must not set off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from browser_agent import builds
from browser_agent.build_memory import BuildMemory
from browser_agent.builds import Builds
from browser_agent.whatsapp.kept_builds import KeptBuilds
from browser_agent.whatsapp.models import DocumentStarted, HearsAll, ProbedBuild, StreamSnapshot
from whatsapp_contract.errors import Busy, ContractError, PageTimeout
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.health import Facts
from whatsapp_contract.names import SessionNames
from whatsapp_contract.states import SessionState

GOOD, BAD = "2.3000.100", "2.3000.200"
DOCUMENT, LOADED = DocumentStarted(kind="document", path="/"), HearsAll(kind="hears_all")


async def soon(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


class Document:
    def __init__(self) -> None:
        self.wanted: bytes | None = None

    def want(self, document: bytes | None) -> None:
        self.wanted = document


class Page:
    """A page of a site whose own build, BAD, has some of wa-js' modules missing."""

    def __init__(self) -> None:
        self.document = Document()
        self.snapshot = StreamSnapshot(injected=True, version=BAD)
        self.missing: tuple[str, ...] = ("MsgStore",)
        self.served: str | None = "200"
        self.probes = 0
        self.site_looks = 0

    def load(self) -> None:
        """What was wanted of it, or the site's own."""
        is_served = self.document.wanted is not None
        self.snapshot = StreamSnapshot(injected=True, version=GOOD if is_served else BAD)
        self.missing = () if is_served else ("MsgStore",)

    async def probe_build(self) -> ProbedBuild:
        self.probes += 1
        return ProbedBuild(version=self.snapshot.version or "", missing=self.missing)

    async def served_revision(self) -> str | None:
        self.site_looks += 1
        return self.served


class Bench:
    """Builds beside a page, a reload of ours, a clock, and a hash that starts out empty."""

    def __init__(self, folder: Path) -> None:
        self.page, self.state = Page(), SessionState.READY
        self.reason: str | None = None
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.known: dict[str, datetime] = {}  # further facts
        self.alerts: list[str] = []
        self.reloads: list[str] = []
        self.reload_fails: ContractError | None = None
        (folder / "html").mkdir()
        (folder / f"html/{GOOD}.html").write_text("<html></html>")
        self.memory = BuildMemory(cast(Any, self), SessionNames("s1"), self.write, lambda: self.now)
        self.builds = Builds(
            self.memory,
            KeptBuilds(folder),
            cast(Any, self),
            pin="",
            with_fallback=True,
            page=lambda: cast(Any, self.page),
            facts=self._facts,
            reload=self._reload,
            look_every_s=0.01,
        )

    async def hgetall(self, _name: str) -> dict[str, str]:
        return {}

    def write(self, _commands: Sequence[RedisCommand]) -> None:
        """Nothing is kept."""

    def publish(self, _event_type: str, data: Any, also: object = ()) -> None:
        self.alerts.append(data.code)

    async def _reload(self, cause: str) -> None:
        self.reloads.append(cause)
        if self.reload_fails is not None:
            raise self.reload_fails
        self.page.load()
        self.builds.on_page_event(DOCUMENT)

    async def new_browser(self) -> None:
        """With a page that has loaded all that it loads."""
        await self.builds.prepare()
        self.builds.on_page(cast(Any, self.page))
        self.page.load()
        self.builds.on_page_event(LOADED)

    async def look_at_the_site(self, served: str | None) -> None:
        """As the first ready page of a browser does."""
        self.page.served, looks = served, self.page.site_looks
        await self.new_browser()
        await soon(lambda: self.page.site_looks > looks)

    async def probed(self) -> None:
        """A page that has loaded all is probed."""
        probes = self.page.probes
        self.builds.on_page_event(LOADED)
        await soon(lambda: self.page.probes > probes)

    async def gone_back(self) -> None:
        """The site's own was probed, and the good one has come in its place."""
        self.builds.on_page_event(LOADED)
        await soon(lambda: self.page.snapshot.version == GOOD)
        assert self.memory.fallback is not None
        await self.probed()

    def _facts(self) -> Facts:
        return Facts(
            observed_at=self.now,
            state=self.state,
            since=self.now,
            reason=self.reason,
            site_silent_since=self.known.get("site_silent_since"),
            browser_offline_since=self.known.get("browser_offline_since"),
        )


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(builds, "AGAIN_AFTER_S", 0.05)
    bench = Bench(tmp_path)
    running = asyncio.create_task(bench.builds.run())
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that never loads all is probed at once."""
    monkeypatch.setattr(builds, "STUCK_AFTER_S", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_what_lacks_something_before_it_is_whole_is_loaded_anew_before_that_is_believed(bench: Bench) -> None:
    bench.memory.take(GOOD, {})
    bench.state = SessionState.SYNCING
    await soon(lambda: bench.reloads != [])
    assert (bench.alerts, bench.builds.broken_calls) == ([], ())
    await soon(lambda: len(bench.reloads) > 1)
    assert (bench.reloads, bench.alerts) == (["half_loaded", "build_fallback"], ["calls_broken", "build_fallback"])


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
    bench.reload_fails = Busy("backup is under way")
    bench.builds.on_page_event(LOADED)
    await soon(lambda: len(bench.reloads) > 1)
    bench.reload_fails = None
    await soon(lambda: bench.builds._reload_cause is None)


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
