"""Builds: what is probed and when, and what a page that does not obey must not set off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from browser_agent import builds
from browser_agent.build_memory import BuildMemory
from browser_agent.builds import Builds
from browser_agent.whatsapp.kept_builds import KeptBuilds
from browser_agent.whatsapp.models import HearsAll, ProbedBuild, StreamSnapshot
from whatsapp_contract.errors import Busy, ContractError, PageTimeout
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.names import SessionNames
from whatsapp_contract.states import SessionState

GOOD, BAD = "2.3000.100", "2.3000.200"
LOADED = HearsAll(kind="hears_all")


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
    """A page with some of wa-js' modules missing."""

    def __init__(self) -> None:
        self.document = Document()
        self.snapshot = StreamSnapshot(injected=True, version=BAD)
        self.missing: tuple[str, ...] = ("MsgStore",)
        self.probes = 0

    async def probe_build(self) -> ProbedBuild:
        self.probes += 1
        return ProbedBuild(version=BAD, missing=self.missing)

    async def served_revision(self) -> str | None:
        return None


class Bench:
    """Builds beside a page, a reload of ours, and a hash that starts out empty."""

    def __init__(self, folder: Path) -> None:
        self.page, self.state = Page(), SessionState.READY
        self.alerts: list[str] = []
        self.reloads: list[str] = []
        self.reload_fails: ContractError | None = None
        (folder / "html").mkdir()
        (folder / f"html/{GOOD}.html").write_text("<html></html>")
        self.memory = BuildMemory(cast(Any, self), SessionNames("s1"), self.write)
        self.builds = Builds(
            self.memory,
            KeptBuilds(folder),
            cast(Any, self),
            pin="",
            with_fallback=True,
            page=lambda: cast(Any, self.page),
            state=lambda: self.state,
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


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(builds, "AGAIN_AFTER_S", 0.05)
    bench = Bench(tmp_path)
    running = asyncio.create_task(bench.builds.run())
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_page_probed_before_it_was_whole_is_probed_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "STUCK_AFTER_S", 0.05)
    bench.state = SessionState.SYNCING
    await soon(lambda: bench.builds.broken_calls != ())
    bench.page.missing, bench.state = (), SessionState.READY
    bench.builds.on_page_event(LOADED)
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
