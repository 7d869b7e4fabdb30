"""Gathers the facts, each with the time it was seen, and asks the server when the link has been silent for long."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pyppeteer.errors import NetworkError

from whatsapp_contract.errors import ContractError, Internal
from whatsapp_contract.health import Facts
from whatsapp_contract.logs import get_logger
from whatsapp_contract.states import SessionState

from .browser_keeper import BrowserKeeper
from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

LINK_ANSWER_WITHIN_S = 5.0
_LOOK_EVERY_S = 1.0


class Evidence:
    """Facts of the browser, the page and the link. Times inside are loop times, which no clock step moves."""

    def __init__(self, keeper: BrowserKeeper, link_silence_s: float) -> None:
        self._keeper = keeper
        self._link_silence_s = link_silence_s
        self._loop = asyncio.get_running_loop()
        self._link_asked_at: float | None = None
        self._link_answered_at: float | None = None
        self._link_failed_at: float | None = None

    def facts(self, state: SessionState, since: float, reason: str | None, held_until: float | None) -> Facts:
        """What is known now. `since` is loop time, `held_until` epoch seconds."""
        now, now_loop = datetime.now(UTC), self._loop.time()

        def wall(moment: float | None) -> datetime | None:
            return None if moment is None else now - timedelta(seconds=now_loop - moment)

        page = self._keeper.page
        stream = page.snapshot if page else None
        known = stream is not None and stream.injected
        return Facts(
            observed_at=now,
            state=state,
            since=wall(since) or now,
            reason=reason,
            held_until=datetime.fromtimestamp(held_until, UTC) if held_until else None,
            browser_seen_at=wall(page.browser_answered_at) if page else None,
            page_seen_at=wall(page.answered_at) if page else None,
            page_took_ms=page.answer_took_ms if page else None,
            frame_seen_at=wall(page.link.frame_at) if page else None,
            link_asked_at=wall(self._link_asked_at),
            link_answered_at=wall(self._link_answered_at),
            stream_mode=stream.mode if stream else None,
            stream_info=stream.info if stream else None,
            socket_state=stream.socket if stream else None,
            authenticated=stream.authenticated if stream and known else None,
        )

    def link_is_silent(self) -> bool:
        """Whether the server left the last query unanswered and was not heard since."""
        page = self._keeper.page
        failed_at = self._link_failed_at
        return page is not None and failed_at is not None and not page.link.heard_since(failed_at)

    async def watch_link(self, is_ready: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """While the session is ready, ask the server after `link_silence_s` of silence; `on_change` is called when
        the answer stays away, and when a link that was silent is heard again. Runs until cancelled.

        A link that was never heard is unknown, not dead: it is not asked.
        """
        was_silent = False
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            page = self._keeper.page
            if page is not None and is_ready() and self._silent_for_s(page) > self._link_silence_s:
                await self._ask(page)
            if self.link_is_silent() != was_silent:
                was_silent = not was_silent
                log.warning("the link to WhatsApp fell silent") if was_silent else log.info("the link is heard again")
                on_change()

    def _silent_for_s(self, page: WhatsAppPage) -> float:
        return 0.0 if page.link.frame_at is None else self._loop.time() - page.link.frame_at

    async def _ask(self, page: WhatsAppPage) -> None:
        """One query; any frame is an answer. A page that cannot be asked says nothing about the link."""
        asked_at = self._loop.time()
        self._link_asked_at = asked_at
        try:
            await page.ask_server()
        except Internal as error:
            log.warning("the server could not be asked", error=str(error))
        except (ContractError, NetworkError):
            return
        await page.link.hear(LINK_ANSWER_WITHIN_S)
        if page.link.heard_since(asked_at):
            self._link_answered_at = page.link.frame_at
        else:
            self._link_failed_at = asked_at
