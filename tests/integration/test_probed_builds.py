"""The probe on real Chromium and wa-js: a build that lacks a module is found to break the calls that need it, and no
others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_agent.whatsapp import cdp, needs
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.models import HearsAll, PageEvent
from browser_agent.whatsapp.page import WhatsAppPage
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.wajs import BUNDLE
from whatsapp_contract.errors import ContractError

BUILD = "2.3000.1045220589"
WITHOUT: dict[str, set[str]] = {
    "": set(),
    "WAWebMsgCollection": {"acks", "edits_in", "history", "media_in", "messages_in", "send", "send_reaction"},
    "WAWebSocketModel": {"logout", "reset", "state"},
    "WAWebGroupMetadataCollection": {"groups"},
    "WAWebPrepRawMedia": {"send_media"},
    "WAWebSendMsgChatAction": {"send_text"},
    "WAWebDBMessageFindLocal": {"history"},
    "WAWebReactionsMsgAction": {"reactions_in"},
}


class Tab:
    def __init__(self, page: WhatsAppPage, whatsapp: WhatsAppWeb) -> None:
        self.page = page
        self.whatsapp = whatsapp
        self._loaded = asyncio.Event()
        page.on_event = self._on_event

    def _on_event(self, event: PageEvent) -> None:
        if isinstance(event, HearsAll):
            self._loaded.set()

    async def load(self, **options: Any) -> None:
        """Load a build until it has loaded all that it loads."""
        self.whatsapp.set_options(**options)
        self._loaded.clear()
        await self.page.navigate()
        async with asyncio.timeout(20):
            await self._loaded.wait()

    async def until_ready(self) -> None:
        async with asyncio.timeout(20):
            while (self.page.snapshot.mode, self.page.snapshot.info) != ("MAIN", "NORMAL"):
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(boot_ms=5, sync_ms=5) as whatsapp:
        yield whatsapp


@pytest.fixture
async def tab(whatsapp: WhatsAppWeb, tmp_path: Path) -> AsyncIterator[Tab]:
    async with open_chromium(find_executable(None), tmp_path / "profile", sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=20)
        page = await WhatsAppPage.open(browser, chromium, whatsapp.url, BUNDLE)
        tab = Tab(page, whatsapp)
        whatsapp.set_options(hide=[], hide_loader=False)
        await page.navigate()
        await asyncio.to_thread(whatsapp.scan)
        await tab.until_ready()
        yield tab
        await cdp.connection_of(browser).dispose()


async def test_each_missing_module_breaks_exactly_the_calls_that_need_it(tab: Tab) -> None:
    for vocabulary in ("modern", "legacy"):
        await tab.load(vocabulary=vocabulary)
        assert needs.broken((await tab.page.probe_build()).missing or ()) == {}
    found = {}
    for module in WITHOUT:
        await tab.load(vocabulary="modern", hide=[module])
        probed = await tab.page.probe_build()
        assert probed.version == BUILD
        assert probed.missing is not None
        found[module] = set(needs.broken(probed.missing))
    assert found == WITHOUT

    # Looking changes nothing: what is there works as before, and what is not comes to be seen when it is there.
    await tab.load(hide=[], build="2.3000.77")
    assert (await tab.page.probe_build()).version == "2.3000.77"
    await tab.until_ready()
    key = await asyncio.to_thread(tab.whatsapp.deliver_text, "hello")
    async with asyncio.timeout(20):
        while not await tab.page._evaluate(f"WPP.whatsapp.MsgStore.get('{key}') !== undefined"):
            await asyncio.sleep(0.02)

    # What the site serves is looked up past what is on show.
    await asyncio.to_thread(tab.whatsapp.set_options, build="2.3000.78")
    assert (await tab.page.served_revision(), tab.page.snapshot.version) == ("78", "2.3000.77")
    await tab.page._evaluate("delete window.Debug, void 0")
    assert (await tab.page.probe_build()).version == "2.3000.77"  # by the document's own number
    await tab.page._evaluate("document.querySelectorAll('script:not([src])').forEach((one) => one.remove())")
    version = (await tab.page.probe_build()).version
    assert version.startswith("scripts-")
    assert (await tab.page.probe_build()).version == version


async def test_a_build_in_which_wa_js_is_never_injected_breaks_every_call(tab: Tab) -> None:
    tab.whatsapp.set_options(hide_loader=True, build="2.3000.79")
    await tab.page.navigate()
    async with asyncio.timeout(20):
        while (probed := await tab.page.probe_build()).missing is None:  # the document has not come whole
            await asyncio.sleep(0.02)
    assert (probed.injected, probed.version) == (False, "2.3000.79")
    assert set(needs.broken(probed.missing)) == set(needs.CALLS)
    # Not asked, wa-js has not looked for a module either: that would have run the site's too early.
    assert await tab.page._evaluate("WPP.isInjected") is False

    async def lacked_after(script: str) -> tuple[str, ...] | None:
        await tab.page._evaluate(f"{script}, void 0")
        return (await tab.page.probe_build()).missing

    assert (
        await lacked_after("Object.defineProperty(document, 'readyState', {value: 'loading', writable: true})") is None
    )
    assert await lacked_after("document.readyState = 'complete'") is not None
    # A page that does not say which build it is may be a proxy's.
    others = "document.querySelectorAll('script:not([src])').forEach((one) => one.remove())"
    assert await lacked_after(others) is None


async def test_a_page_that_is_none_of_the_sites_cannot_be_probed(tab: Tab) -> None:
    await tab.page._evaluate("delete globalThis.waAgent, void 0")
    with pytest.raises(ContractError):
        await tab.page.probe_build()
