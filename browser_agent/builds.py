"""Which build of WhatsApp Web is on show, whether our calls work with it, and which one is served (docs/versions.md).

Each document is probed once, when it has loaded all that it loads: the page is asked which of the modules that our
calls need are there. A build that lacks one is told in an `alert`, once. With a pin its kept document is served; with
the fallback the last build with which all was fine is served in place of one that fails, until the site has another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatsapp_contract.errors import Busy, ContractError
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.health import Facts
from whatsapp_contract.logs import get_logger
from whatsapp_contract.states import SessionState

from .build_memory import Broken, BuildMemory, Fallback
from .event_log import EventLog
from .stream_state import DEPRECATED
from .whatsapp import needs
from .whatsapp.kept_builds import KeptBuild, KeptBuilds, NoSuchBuild, is_later, is_same
from .whatsapp.models import DocumentStarted, HearsAll, PageEvent, ProbedBuild

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

SITE_EVERY_S = 6 * 3600.0  # how often it is looked whether the site serves a later build, while one is served here
BACK_AT_MOST = 3  # times a day: the first, and two after the site's own was tried again

_ADVICE = "Update this service, or serve a build that works: docs/versions.md."
# Not disconnected: what a page lacks that has no network says nothing of its build.
_MAY_BE_STUCK = frozenset({SessionState.STARTING, SessionState.SYNCING, SessionState.READY})
_HALF_LOADED = "half_loaded"


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds."""

    look_every_s: float = 1.0
    again_after_s: float = 3.0  # a module that is missing may only be late: it is looked for twice
    stuck_after_s: float = 60.0  # a page that never loads all, or never gets ready, is probed then, as it is
    syncing_after_s: float = 300.0  # the same for one that syncs: a first sync takes minutes


@dataclass(frozen=True)
class _Owed:
    """A reload that is wanted, and not done yet: its cause, and the version that was on show when it came to be."""

    cause: str
    on_show: str | None


class Builds:
    """One per agent. `page` gives the page or None, `facts` what is known of the session now; `reload` loads the page
    anew and raises ContractError when it cannot."""

    # Of the document on show.
    _is_loaded: bool
    _is_probed: bool
    _started_at: float  # and when wa-js was injected, from then on
    _is_injected: bool
    _again_at: float | None

    def __init__(
        self,
        memory: BuildMemory,
        kept: KeptBuilds,
        event_log: EventLog,
        *,
        pin: str,
        with_fallback: bool,
        page: Callable[[], "WhatsAppPage | None"],
        facts: Callable[[], Facts],
        reload: Callable[[str], Awaitable[None]],
        patience: Patience | None = None,
    ) -> None:
        self.broken: Broken = {}  # of the build on show, as far as is known
        self._memory = memory
        self._kept = kept
        self._event_log = event_log
        self._pin = pin
        self._with_fallback = with_fallback and not pin
        self._page = page
        self._facts = facts
        self._reload = reload
        self.patience = patience or Patience()
        self._loop = asyncio.get_running_loop()
        self._serving: KeptBuild | None = None
        self._document: bytes | None = None
        self._owed: _Owed | None = None
        self._site_seen_at = float("-inf")
        self._told_unavailable = False
        self._told_nothing_kept: set[str] = set()
        self._told_not_served: set[tuple[str, str]] = set()  # which was served, and which was on show
        self._loaded_anew: str | None = None  # this build, since its document lacked something before it was whole
        self._new_document()

    @property
    def broken_calls(self) -> tuple[str, ...]:
        """What does not work with the build on show."""
        return tuple(sorted(self.broken))

    # -- what the agent tells ----------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Before each browser: what is known, and which document to serve."""
        await self._memory.load()
        fallback = self._memory.fallback
        wanted = self._pin or (fallback.good if self._with_fallback and fallback else "")
        if fallback and not self._with_fallback:
            self._memory.write(self._memory.end_fallback(keep_bad=False))
        self._serve(None)
        self._site_seen_at = float("-inf")
        if not wanted:
            return
        try:
            build = await asyncio.to_thread(self._kept.newest, wanted)
            self._serve(build, await asyncio.to_thread(build.read))
        except NoSuchBuild as error:
            log.error("the build cannot be served; the site's own is", build=wanted, error=str(error))
            if not self._told_unavailable:
                self._alert("build_unavailable", f"WhatsApp Web {wanted} cannot be served; the site's own is: {error}")
            self._told_unavailable = True

    def on_page(self, page: "WhatsAppPage") -> None:
        """Before it is loaded."""
        page.document.want(self._document)
        self._owed = None
        self._new_document()

    def on_page_event(self, event: PageEvent) -> None:
        """What the page tells by itself."""
        if isinstance(event, DocumentStarted):
            self._new_document()
        elif isinstance(event, HearsAll) and not self._is_loaded:
            self._is_loaded, self._is_probed, self._again_at = True, False, None  # what was lacking may be here now
            self._forgive_half_loaded()

    async def run(self) -> None:
        """Probe what comes, until cancelled."""
        while True:
            await asyncio.sleep(self.patience.look_every_s)
            page = self._page()
            if page is None:
                continue
            try:
                await self._look(page)
            except ContractError:
                continue  # it is between documents, or does not answer: others see to that

    # -- details -----------------------------------------------------------------------------------------------------

    def _new_document(self) -> None:
        self.broken = {}
        self._is_loaded = self._is_probed = self._is_injected = False
        self._started_at = self._loop.time()
        self._again_at = None
        self._forgive_half_loaded()

    def _forgive_half_loaded(self) -> None:
        if self._owed is not None and self._owed.cause == _HALF_LOADED:
            self._owed = None

    def _serve(self, build: KeptBuild | None, document: bytes | None = None) -> None:
        self._serving, self._document = build, document

    async def _look(self, page: "WhatsAppPage") -> None:
        facts = self._facts()
        if (owed := self._owed) is not None:
            page.document.want(self._document)  # for the page's next load, whoever makes it
            if not self._is_still_owed(owed, page, facts.state):
                self._owed = None
            elif self._may_be_loaded(page, facts.state):
                await self._load_anew(owed)
            return
        if not self._is_probed:
            if page.snapshot.injected and not self._is_injected:
                self._is_injected, self._started_at = True, self._loop.time()
            self._expect(page, facts)
            if self._is_due(facts):
                await self._probe(page)
        if self._memory.fallback is not None:
            await self._watch_fallback(page)

    def _is_still_owed(self, owed: _Owed, page: "WhatsAppPage", state: SessionState) -> bool:
        """Not where another has loaded the page meanwhile, and it is now what it was to become."""
        if owed.cause == _HALF_LOADED:
            return state in _MAY_BE_STUCK
        on_show = page.snapshot.version
        if on_show is None:
            return True
        if self._serving is not None:
            return not is_same(on_show, self._serving.version)
        return owed.on_show is None or is_same(on_show, owed.on_show)

    def _may_be_loaded(self, page: "WhatsAppPage", state: SessionState) -> bool:
        """Not under a person who is about to scan, nor one that was loaded just now and does not tell its version."""
        is_known = page.snapshot.version is not None or self._is_late(state)
        return is_known and state is not SessionState.AWAITING_SCAN

    async def _load_anew(self, owed: _Owed) -> None:
        """Once, unless another operation comes first."""
        try:
            await self._reload(owed.cause)
        except Busy:
            return
        except ContractError as error:
            log.warning("a page was not loaded anew for its build's sake", cause=owed.cause, code=error.code)
        self._owed = None
        if owed.cause == _HALF_LOADED:
            self._loaded_anew = owed.on_show  # or would not: what is still there is as good as it gets

    def _expect(self, page: "WhatsAppPage", facts: Facts) -> None:
        """What was broken with this build before, until it is probed; not for ever, where it cannot be."""
        known = self._memory.known.get(page.snapshot.version or "")
        if known is not None and self._again_at is None:
            self.broken = {} if self._is_late(facts.state) else known.broken

    def _is_late(self, state: SessionState) -> bool:
        is_syncing = state is SessionState.SYNCING
        allowed_s = self.patience.syncing_after_s if is_syncing else self.patience.stuck_after_s
        return self._loop.time() - self._started_at > allowed_s

    def _is_due(self, facts: Facts) -> bool:
        if self._again_at is not None and self._loop.time() < self._again_at:
            return False
        if self._is_loaded and facts.state is SessionState.READY:
            return True
        # Without some modules a page never loads all, or never gets ready. One that waits for a scan has not loaded
        # what an account needs, and one that does not reach its site cannot.
        reaches_site = facts.site_silent_since is facts.browser_offline_since is None
        return self._is_late(facts.state) and facts.state in _MAY_BE_STUCK and reaches_site

    async def _probe(self, page: "WhatsAppPage") -> None:
        probed = await page.probe_build()
        if probed.missing is None:
            return  # it is asked again
        broken = needs.broken(probed.missing)
        if broken and self._again_at is None:
            self._again_at = self._loop.time() + self.patience.again_after_s
            return
        if broken and not self._is_loaded and self._loaded_anew != probed.version:
            # A part of it may have been lost on the way. Where that comes to the same it is the build's own.
            self._owed = _Owed(_HALF_LOADED, probed.version)
            log.warning("a page that has not loaded all lacks something; it is loaded anew", build=probed.version)
            return
        self._is_probed = True
        if not broken:
            self._loaded_anew = None
        self.broken = broken
        self._tell(probed, broken)
        await self._decide(probed.version, broken)

    def _tell(self, probed: ProbedBuild, broken: Broken) -> None:
        is_news, commands = self._memory.take(probed.version, broken)
        if is_news and broken:
            log.error("calls are broken with this build of WhatsApp Web", build=probed.version, broken=broken)
            if probed.injected:
                calls = "; ".join(f"{call} (no {', '.join(lacking)})" for call, lacking in sorted(broken.items()))
                told = f"these calls are broken: {calls}"
            else:
                told = "every call is broken: wa-js does not find the site's modules at all"
            message = f"With WhatsApp Web {probed.version} {told}. {_ADVICE}"
            self._event_log.publish(EventType.ALERT, AlertData(code="calls_broken", message=message), also=commands)
            return
        if is_news:
            log.info("all calls are fine with this build of WhatsApp Web", build=probed.version)
        self._memory.write(commands)

    async def _decide(self, version: str, broken: Broken) -> None:
        """Whether another build is to be served than is on show."""
        serving = self._serving
        if serving is not None and not is_same(version, serving.version):
            self._tell_not_served(serving.version, version)
        if not broken:
            return
        if self._memory.fallback is not None:
            if serving is None or not is_same(version, serving.version):
                return  # it was not tried
            why = f"calls are broken with {version}, too"
            self._end_fallback("build_fallback_failed", why, version, keep_bad=True)
        elif serving is None and self._with_fallback and self._memory.may_go_back_from(version):
            await self._go_back(version)

    def _tell_not_served(self, served: str, on_show: str) -> None:
        """Once for these two: it may be so with every load."""
        if (served, on_show) in self._told_not_served:
            return
        self._told_not_served.add((served, on_show))
        log.error("another build is on show than is served", served=served, on_show=on_show)
        message = f"WhatsApp Web {served} was served, and {on_show} is on show: the page has gone elsewhere."
        self._alert("build_not_served", message)

    async def _go_back(self, bad: str) -> None:
        build = await asyncio.to_thread(self._newest_kept, self._memory.good_ones(bad))
        if build is None:
            self._tell_nothing_to_go_back_to(bad)
            return
        try:
            self._serve(build, await asyncio.to_thread(build.read))
        except NoSuchBuild as error:
            log.error("the last good build cannot be served", build=build.version, error=str(error))
            return
        message = (
            f"WhatsApp Web {bad} breaks {', '.join(self.broken_calls)}; {build.version}, with which all was fine, "
            "is served instead, until the site has a later build."
        )
        log.warning("going back to the last good build", bad=bad, good=build.version)
        self._alert("build_fallback", message, self._memory.go_back(bad, build.version))
        self._owed = _Owed("build_fallback", bad)

    def _newest_kept(self, versions: list[str]) -> KeptBuild | None:
        """The site is ahead of what is kept: the last good build may be none of it, and an earlier one is as good."""
        return next((build for version in versions if (build := self._kept.same_as(version))), None)

    def _tell_nothing_to_go_back_to(self, bad: str) -> None:
        """Once for a build: it may be loaded every hour."""
        if bad in self._told_nothing_kept:
            return
        self._told_nothing_kept.add(bad)
        log.warning("there is no build to go back to", bad=bad)
        message = (
            f"WhatsApp Web {bad} breaks {', '.join(self.broken_calls)}, and no build that is kept is known to be "
            "good: pin one by WHATSAPP_WEB_VERSION, or renew the package."
        )
        self._alert("build_fallback_missing", message)

    async def _watch_fallback(self, page: "WhatsAppPage") -> None:
        fallback, serving = self._memory.fallback, self._serving
        if fallback is None or serving is None:
            return
        facts, on_show = self._facts(), page.snapshot.version
        if facts.state is SessionState.BLOCKED:
            # Any other block is the account's, or the address'.
            if facts.reason == DEPRECATED and is_same(on_show or serving.version, serving.version):
                why = f"{fallback.good} is not let in any more"
                self._end_fallback("build_fallback_failed", why, on_show, keep_bad=True)
            return
        if facts.state is not SessionState.READY or self._loop.time() - self._site_seen_at < SITE_EVERY_S:
            return
        self._site_seen_at = self._loop.time()
        served = await page.served_revision()
        if served is None or not is_later(served, fallback.bad):
            return
        if self._memory.times_gone_back() < BACK_AT_MOST:
            why = f"the site has a later build now ({served})"
            self._end_fallback("build_fallback_over", why, on_show, keep_bad=False)
        elif not fallback.is_kept:
            self._keep_fallback(fallback, served)

    def _keep_fallback(self, fallback: Fallback, served: str) -> None:
        """What is said to be served is not what the page gets, or each build is as bad as the one before."""
        log.warning("the older build is kept for a day", good=fallback.good, served=served)
        message = (
            f"The site has a later build now ({served}), but its own was tried twice within a day and was no better: "
            f"WhatsApp Web {fallback.good} is kept until a day has passed. {_ADVICE}"
        )
        self._alert("build_fallback_kept", message, self._memory.keep_fallback())

    def _end_fallback(self, code: str, why: str, on_show: str | None, *, keep_bad: bool) -> None:
        log.warning("the site's own build is served again", why=why)
        message = f"The site's own build of WhatsApp Web is served again: {why}."
        self._alert(code, message, self._memory.end_fallback(keep_bad=keep_bad))
        self._serve(None)
        self._owed = _Owed(code, on_show)

    def _alert(self, code: str, message: str, also: Sequence[RedisCommand] = ()) -> None:
        self._event_log.publish(EventType.ALERT, AlertData(code=code, message=message), also=also)
