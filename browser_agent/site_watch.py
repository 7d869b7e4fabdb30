"""Whether the page's own requests reach the site, asked while the link is down.

The page asks, so that the browser's own network, proxy and names are what is judged. Chromium is told to pass by the
site's service worker meanwhile: it might answer from its cache.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from whatsapp_contract.errors import ContractError
from whatsapp_contract.logs import get_logger

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

EVERY_S = 10.0
FAILURES = 2  # in a row, before the site counts as silent
_LOOK_EVERY_S = 1.0


class SiteWatch:
    """One per agent. `page` gives the page or None; `is_wanted` whether there is a reason to ask. Loop times."""

    def __init__(
        self, page: Callable[[], "WhatsAppPage | None"], is_wanted: Callable[[], bool], every_s: float = EVERY_S
    ) -> None:
        self.answered_at: float | None = None
        self.silent_since: float | None = None
        self._page = page
        self._is_wanted = is_wanted
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._failures: list[float] = []  # when the requests were sent that failed, since the last answer
        self._asked_at = float("-inf")

    async def run(self) -> None:
        """Ask as long as there is a reason; runs until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_EVERY_S, self._every_s))
            page = self._page()
            if page is None or not self._is_wanted():
                self._clear()
            elif self._loop.time() - self._asked_at >= self._every_s:
                await self._ask(page)

    async def _ask(self, page: "WhatsAppPage") -> None:
        """A page that cannot be asked says nothing."""
        self._asked_at = asked_at = self._loop.time()
        try:
            reached = await page.ask_site()
        except ContractError:
            return
        if reached:
            self.answered_at = self._loop.time()
            if self.silent_since is not None:
                log.info("the site answers the page's requests again")
            self._clear()
        elif reached is False:
            self._failures.append(asked_at)
            if len(self._failures) == FAILURES:
                self.silent_since = self._failures[0]
                log.warning("the site does not answer the page's own requests")

    def _clear(self) -> None:
        self.silent_since = None
        self._failures.clear()
