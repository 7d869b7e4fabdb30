"""Builds on a page, a clock and a memory that a test has in its hands."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from browser_agent.build_memory import BuildMemory
from browser_agent.builds import Builds, Patience
from browser_agent.whatsapp import needs
from browser_agent.whatsapp.kept_builds import KeptBuilds
from browser_agent.whatsapp.models import DocumentStarted, HearsAll, ProbedBuild, StreamSnapshot
from whatsapp_contract.errors import ContractError
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.health import Facts
from whatsapp_contract.names import SessionNames
from whatsapp_contract.states import SessionState

GOOD, BAD = "2.3000.100", "2.3000.200"
DOCUMENT, LOADED = DocumentStarted(kind="document", path="/"), HearsAll(kind="hears_all")


async def soon(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
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
        self.injects = True
        self.lacks_without_wa_js: tuple[str, ...] | None = tuple(needs.modules())
        self.served: str | None = "200"
        self.probes = 0
        self.site_looks = 0

    def never_injects(self) -> None:
        """Its own build has no place for wa-js any more."""
        self.injects, self.snapshot = False, StreamSnapshot(injected=False)

    def load(self) -> None:
        """What was wanted of it, or the site's own."""
        is_served = self.document.wanted is not None
        self.missing = () if is_served else ("MsgStore",)
        if is_served or self.injects:
            self.snapshot = StreamSnapshot(injected=True, version=GOOD if is_served else BAD)

    async def probe_build(self) -> ProbedBuild:
        self.probes += 1
        if not self.snapshot.injected:
            return ProbedBuild(version=BAD, injected=False, missing=self.lacks_without_wa_js)
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
        self.believed: list[tuple[list[str], tuple[str, ...]]] = []  # at each reload: alerts, broken calls
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
            patience=Patience(look_every_s=0.01, again_after_s=0.05),
        )

    def wait_no_longer_than(self, **changes: float) -> None:
        """Another patience, field by field."""
        self.builds.patience = replace(self.builds.patience, **changes)

    async def hgetall(self, _name: str) -> dict[str, str]:
        return {}

    def write(self, _commands: Sequence[RedisCommand]) -> None:
        """Nothing is kept."""

    def publish(self, _event_type: str, data: Any, also: object = ()) -> None:
        self.alerts.append(data.code)

    async def _reload(self, cause: str) -> None:
        self.reloads.append(cause)
        self.believed.append((list(self.alerts), self.builds.broken_calls))
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


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Bench]:
    """A bench whose builds look at the page."""
    bench = Bench(folder)
    looking = asyncio.create_task(bench.builds.run())
    try:
        yield bench
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
