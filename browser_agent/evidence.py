"""Gathers the facts, each with the time it was seen, and asks the server when the link has been silent for long."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from whatsapp_contract.errors import ContractError
from whatsapp_contract.health import Facts
from whatsapp_contract.logs import get_logger
from whatsapp_contract.states import SessionState

from .browser_keeper import BrowserKeeper
from .loop_lag import LoopLag
from .memory_watch import MemoryWatch
from .site_watch import SiteWatch

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

LINK_ANSWER_WITHIN_S = 5.0
_LOOK_EVERY_S = 1.0


class Evidence:
    """Facts of the browser, the page and the link. Times inside are loop times, which no clock step moves."""

    def __init__(self, keeper: BrowserKeeper, memory: MemoryWatch, site: SiteWatch, link_silence_s: float) -> None:
        self.lag = LoopLag()
        self.site = site
        self._keeper = keeper
        self._memory = memory
        self._link_silence_s = link_silence_s
        self.message_event_at: float | None = None  # loop time of the last `message` event
        self._loop = asyncio.get_running_loop()

    def facts(
        self,
        state: SessionState,
        since: float,
        reason: str | None,
        held_until: float | None,
        coming_up_since: float | None = None,
    ) -> Facts:
        """What is known now. `since` and `coming_up_since` are loop times, `held_until` epoch seconds."""
        now, now_loop = datetime.now(UTC), self._loop.time()

        def wall(moment: float | None) -> datetime | None:
            return None if moment is None else now - timedelta(seconds=now_loop - moment)

        def timed(moment: float | None) -> datetime | None:
            return None if moment is None else wall(moment + self.lag.lost_s(moment))

        page = self._keeper.page
        stream = page.snapshot if page else None
        known = stream is not None and stream.injected
        return Facts(
            observed_at=now,
            state=state,
            since=wall(since) or now,
            timed_since=timed(since),
            coming_up_since=timed(coming_up_since),
            reason=reason,
            held_until=datetime.fromtimestamp(held_until, UTC) if held_until else None,
            browser_seen_at=wall(page.browser_answered_at) if page else None,
            page_seen_at=wall(page.answered_at) if page else None,
            page_took_ms=page.answer_took_ms if page else None,
            frame_seen_at=wall(page.link.frame_at) if page else None,
            link_asked_at=wall(page.link.asked_at) if page else None,
            link_asked_after_s=self._link_silence_s,
            link_answered_at=wall(page.link.answered_at) if page else None,
            injected=stream.injected if stream else None,
            stream_mode=stream.mode if stream else None,
            stream_info=stream.info if stream else None,
            socket_state=stream.socket if stream else None,
            online=stream.online if stream else None,
            authenticated=stream.authenticated if stream and known else None,
            site_answered_at=wall(self.site.answered_at),
            site_silent_since=wall(self.site.silent_since),
            browser_offline_since=wall(self.site.offline_since),
            stored_message_at=wall(page.hearing.stored_at) if page else None,
            told_message_at=wall(page.hearing.told_at) if page else None,
            unheard_since=wall(page.hearing.unheard_since) if page else None,
            message_event_at=wall(self.message_event_at),
            memory_bytes=self._memory.bytes,
            memory_seen_at=wall(self._memory.seen_at),
            loop_lag_ms=self.lag.worst_ms,
        )

    async def run(self, is_ready: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """Watch the link (`watch_link`), the site and the loop until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watch_link(is_ready, on_change))
            tasks.create_task(self.site.run())
            tasks.create_task(self.lag.run())

    def on_message_event(self) -> None:
        """A `message` event is in the stream."""
        self.message_event_at = self._loop.time()

    def link_is_dead(self) -> bool:
        """Whether the present page's server does not answer."""
        return self._keeper.page is not None and self._keeper.page.link.is_dead

    async def watch_link(self, is_ready: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """While the session is ready, ask the server after `link_silence_s` of silence; `on_change` is called when
        the answer stays away, and when a dead link is heard again. Runs until cancelled.

        A link that was never heard is unknown, not dead: it is not asked.
        """
        was_dead = False
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            page = self._keeper.page
            if page is not None and is_ready() and page.link.silent_for_s > self._link_silence_s:
                await self._ask(page)
            if self.link_is_dead() != was_dead:
                was_dead = not was_dead
                log.warning("the server does not answer any more" if was_dead else "the server is heard again")
                on_change()

    async def _ask(self, page: "WhatsAppPage") -> None:
        """A page that cannot be asked says nothing about its link."""
        with contextlib.suppress(ContractError):
            await page.link.expect_answer(page.ask_server, LINK_ANSWER_WITHIN_S)
