"""A browser that many tests use one after the other: to start one takes longer than most of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyppeteer.browser import Browser

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import Chromium, open_chromium
from browser_agent.whatsapp.executable import find_executable

WITHIN_S = 20.0


class SharedChromium:
    """A test gets it with one blank tab, no cookies, and nothing kept of the site that was on show last."""

    def __init__(self, chromium: Chromium) -> None:
        self.chromium = chromium
        self._connections: list[cdp.CdpConnection] = []

    async def connect(self) -> Browser:
        """A connection that ends with the test, and what was asked of Chromium by it."""
        browser = await cdp.connect(self.chromium.endpoint, within_s=WITHIN_S)
        self._connections.append(cdp.connection_of(browser))
        return browser

    async def make_blank(self) -> None:
        """A new tab in place of the others, whatever became of them."""
        await self._let_go()
        connection = cdp.connection_of(await self.connect())
        others = await self._tabs(connection)
        await connection.call("Target.createTarget", {"url": "about:blank"}, within_s=WITHIN_S)
        for target in others:
            await connection.call("Target.closeTarget", {"targetId": target["targetId"]}, within_s=WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            while len(await self._tabs(connection)) > 1:
                await asyncio.sleep(0.01)
        await self._let_go()
        tab = await cdp.first_tab(await self.connect(), within_s=WITHIN_S)
        for target in others:
            site = "{0.scheme}://{0.netloc}".format(urlsplit(target["url"]))
            await tab.call("Storage.clearDataForOrigin", {"origin": site, "storageTypes": "all"}, within_s=WITHIN_S)
        await tab.call("Network.clearBrowserCookies", within_s=WITHIN_S)
        await self._let_go()

    async def _tabs(self, connection: cdp.CdpConnection) -> list[dict[str, Any]]:
        found = await connection.call("Target.getTargets", {"filter": [{"type": "page"}]}, within_s=WITHIN_S)
        return list(found["targetInfos"])

    async def _let_go(self) -> None:
        while self._connections:
            await self._connections.pop().dispose()


@contextlib.asynccontextmanager
async def shared_chromium(folder: Path) -> AsyncIterator[SharedChromium]:
    async with open_chromium(find_executable(None), folder / "profile", sandbox=False) as chromium:
        yield SharedChromium(chromium)
