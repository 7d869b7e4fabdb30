"""Whether the page's own requests reach the site, asked while the link is down; and whose fault it is where not.

The page asks, so that the browser's own network, proxy and names are what is judged. Chromium is told to pass by the
site's service worker meanwhile: it might answer from its cache. Where the page gets no answer the agent asks, too. If
it gets one, three times in a row, it is the browser that is offline, and a new one may reach the site. Until then the
site counts as silent: a browser may need a while to see that the connections it has are dead, after a sleep for one.

A frame from the site's server clears both: the way is there, be it too slow for a request.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from whatsapp_contract.errors import ContractError
from whatsapp_contract.logs import get_logger

from .whatsapp.net_errors import may_be_cut_off

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

EVERY_S = 10.0
FAILURES = 2  # in a row, before the site counts as silent
ALONE = 3  # in a row, before the browser counts as offline
_LOOK_EVERY_S = 1.0


class SiteWatch:
    """One per agent. Loop times. `silent_since` is that of a site that nobody here reaches, `offline_since` that of a
    browser that alone does not; one of them at most is set.

    `page` gives the page or None; `is_wanted` says whether there is a reason to ask; `load_error` why the page cannot
    even be loaded, in Chromium's words, where that is so; `reaches` whether the agent gets an answer.
    """

    def __init__(
        self,
        page: Callable[[], "WhatsAppPage | None"],
        is_wanted: Callable[[], bool],
        load_error: Callable[[], str | None],
        reaches: Callable[[], Awaitable[bool | None]],
        every_s: float = EVERY_S,
    ) -> None:
        self.answered_at: float | None = None
        self.silent_since: float | None = None
        self.offline_since: float | None = None
        self._page = page
        self._is_wanted = is_wanted
        self._load_error = load_error
        self._reaches = reaches
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        # Since the last answer: when the request was sent that failed, and whether it is the browser that failed.
        self._failures: deque[tuple[float, bool]] = deque(maxlen=ALONE)
        self._asked_at = float("-inf")

    async def run(self) -> None:
        """Ask as long as there is a reason; runs until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_EVERY_S, self._every_s))
            page = self._page()
            if page is None or not self._is_wanted():
                self._clear()
            elif self._was_heard(page):
                self._on_reached()
            elif self._loop.time() - self._asked_at >= self._every_s:
                await self._ask(page)

    async def _ask(self, page: "WhatsAppPage") -> None:
        """A page that cannot be asked says nothing."""
        self._asked_at = asked_at = self._loop.time()
        error = self._load_error()
        try:
            reached = await page.ask_site() if error is None else False
        except ContractError:
            return
        if reached:
            self.answered_at = self._loop.time()
            self._on_reached()
        elif reached is False:
            may_be_alone = error is None or may_be_cut_off(error)
            self._failures.append((asked_at, may_be_alone and await self._reaches() is True))
            if not self._was_heard(page):
                self._judge()

    def _was_heard(self, page: "WhatsAppPage") -> bool:
        """Since the last request that failed was sent."""
        return bool(self._failures) and page.link.heard_since(self._failures[-1][0])

    def _judge(self) -> None:
        first_at, _ = self._failures[0]
        if len(self._failures) == ALONE and all(is_alone for _, is_alone in self._failures):
            if self.offline_since is None:
                log.warning("the browser does not reach the site, and the agent does")
                self.offline_since, self.silent_since = first_at, None
        elif len(self._failures) >= FAILURES and self.silent_since is None:
            log.warning("the site does not answer the page's own requests")
            self.offline_since, self.silent_since = None, first_at

    def _on_reached(self) -> None:
        if self.silent_since is not None or self.offline_since is not None:
            log.info("the page reaches the site again")
        self._clear()

    def _clear(self) -> None:
        self.silent_since = self.offline_since = None
        self._failures.clear()
