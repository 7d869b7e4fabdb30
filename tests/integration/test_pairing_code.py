"""The code for a phone number, on real Chromium and wa-js: asked for, refused, void, and the way back to QR codes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from browser_agent.whatsapp.linking import PageLinking
from browser_agent.whatsapp.models import PageEvent, QrIdle, QrShown
from browser_agent.whatsapp.page import WhatsAppPage
from tests.harness.shared_chromium import SharedChromium
from tests.whatsapp_web.client import PhoneRefused, WhatsAppWeb
from tests.whatsapp_web.people import ANNA, ME
from tests.whatsapp_web.wajs import BUNDLE
from whatsapp_contract.errors import NotReady, PageTimeout, Refused

# They share a browser, and so its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = ME.phone.partition("@")[0]
LONG_S = 600.0


class Tab:
    """A page that shows QR codes, which of them it told, and what the phone can do."""

    def __init__(self, page: WhatsAppPage, whatsapp: WhatsAppWeb) -> None:
        self.page = page
        self.whatsapp = whatsapp
        self.linking = PageLinking(page)
        self.told: list[PageEvent] = []
        page.on_event = self.told.append

    @property
    def codes(self) -> list[str]:
        return [event.payload for event in self.told if isinstance(event, QrShown)]

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)
        assert condition(), what

    async def until_usable(self) -> None:
        await self.until(
            lambda: (self.page.snapshot.mode, self.page.snapshot.info) == ("MAIN", "NORMAL"), "the page is usable"
        )

    async def phone(self, act: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.to_thread(act, *given)

    async def shows_another(self, than: list[str]) -> None:
        """A whole QR code that is none of those."""
        await self.until(lambda: len(self.codes) > len(than), "another QR code")
        code = self.codes[-1]
        assert code not in than
        assert len(code.split(",")) == 5
        assert all(code.split(","))

    async def shows_one_that_can_be_scanned(self, other_than: list[str]) -> None:
        await self.shows_another(other_than)
        await self.phone(self.whatsapp.scan, self.codes[-1])
        await self.until_usable()


@pytest.fixture(scope="module")
def _one_whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(boot_ms=5, sync_ms=5) as whatsapp:
        yield whatsapp


@pytest_asyncio.fixture(loop_scope="module")
async def tab(_one_whatsapp: WhatsAppWeb, shared: SharedChromium, tmp_path: Path) -> AsyncIterator[Tab]:
    _one_whatsapp.reset()
    page = await WhatsAppPage.open(await shared.connect(), shared.chromium, _one_whatsapp.url, BUNDLE)
    tab = Tab(page, _one_whatsapp)
    await page.navigate()
    await tab.until(lambda: tab.codes, "the QR code")
    await tab.until(lambda: page.snapshot.injected, "wa-js")
    yield tab


async def test_who_types_the_code_in_links_the_device(tab: Tab) -> None:
    code = await tab.linking.pairing_code(OURS, LONG_S)
    assert len(code) == 8
    assert tab.whatsapp.link_codes_asked() == [{"phone": OURS, "push": True}]
    with pytest.raises(PhoneRefused):
        await tab.phone(tab.whatsapp.enter_link_code, "AAAA-AAAA")
    assert await tab.phone(tab.whatsapp.enter_link_code, f"{code[:4]}-{code[4:]}") == 1
    await tab.until_usable()


async def test_no_qr_code_is_told_meanwhile_whatever_the_page_does_with_it(tab: Tab) -> None:
    before = tab.codes
    code = await tab.linking.pairing_code(OURS, LONG_S)
    await tab.page._evaluate("require('StandInQr').rotate()")
    await tab.page._evaluate("require('StandInQr').idle()")
    with pytest.raises(PhoneRefused):  # it is shown, and its secret is gone
        await tab.phone(tab.whatsapp.scan, None, 0.2)
    await tab.page.probe()
    assert tab.codes == before
    assert not any(isinstance(event, QrIdle) for event in tab.told)
    await tab.phone(tab.whatsapp.enter_link_code, code)
    await tab.until_usable()
    assert tab.codes == before


async def test_a_code_that_the_site_says_is_void_gives_way_to_a_qr_code(tab: Tab) -> None:
    for event in ("refresh_alt_linking_code", "force_manual_refresh", "error_alt_linking"):
        before = tab.codes
        code = await tab.linking.pairing_code(OURS, LONG_S)
        assert await tab.phone(tab.whatsapp.void_link_codes, event) == 1
        await tab.shows_another(before)
        with pytest.raises(PhoneRefused):
            await tab.phone(tab.whatsapp.enter_link_code, code)
    await tab.shows_one_that_can_be_scanned(before)


async def test_a_code_that_nobody_typed_in_gives_way_to_a_qr_code(tab: Tab) -> None:
    before = tab.codes
    await tab.linking.pairing_code(OURS, kept_s=0.2)
    await tab.shows_one_that_can_be_scanned(before)


async def test_an_account_that_is_linked_keeps_its_link_when_the_time_of_the_code_is_over(tab: Tab) -> None:
    code = await tab.linking.pairing_code(OURS, kept_s=6)
    await tab.phone(tab.whatsapp.enter_link_code, code)
    await tab.until_usable()
    secret = await tab.page._evaluate("require('StandInCredentials').keys.advSecret")
    await tab.page._evaluate("new Promise((resolve) => setTimeout(resolve, 6100))", 30)  # the page's own clock
    assert await tab.page._evaluate("require('StandInCredentials').keys.advSecret") == secret
    await tab.page.probe()
    assert (tab.page.snapshot.mode, tab.page.snapshot.registered) == ("MAIN", True)


async def test_another_code_voids_the_one_before(tab: Tab) -> None:
    first = await tab.linking.pairing_code(OURS, LONG_S)
    second = await tab.linking.pairing_code(OURS, LONG_S)
    assert first != second
    with pytest.raises(PhoneRefused):
        await tab.phone(tab.whatsapp.enter_link_code, first)
    await tab.phone(tab.whatsapp.enter_link_code, second)
    await tab.until_usable()


async def test_the_phone_does_not_take_anothers_code_nor_an_old_one(tab: Tab) -> None:
    other = await tab.linking.pairing_code(ANNA.phone.partition("@")[0], LONG_S)
    with pytest.raises(PhoneRefused, match="another number"):
        await tab.phone(tab.whatsapp.enter_link_code, other)
    tab.whatsapp.set_options(link_code_s=0)
    old = await tab.linking.pairing_code(OURS, LONG_S)
    with pytest.raises(PhoneRefused, match="expired"):
        await tab.phone(tab.whatsapp.enter_link_code, old)


async def test_whatsapp_refuses_and_a_qr_code_is_on_show_again(tab: Tab) -> None:
    for error, said in (
        ("IQErrorRateOverlimit", "too many"),
        ("IQErrorFeatureNotAvailable", "not offer"),
        ("IQErrorNonSupportedPrimary", "update it"),
        ("IQErrorBadRequest", "IQErrorBadRequest"),
    ):
        before = tab.codes
        tab.whatsapp.answer_link_codes(error)
        with pytest.raises(Refused, match=said) as raised:
            await tab.linking.pairing_code(OURS, LONG_S)
        assert OURS not in str(raised.value)
        await tab.shows_another(before)
    await tab.shows_one_that_can_be_scanned(before)


async def test_a_server_that_does_not_answer_is_given_up(tab: Tab) -> None:
    before = tab.codes
    tab.whatsapp.answer_link_codes(after_s=LONG_S)
    with pytest.raises(PageTimeout, match="no code in time"):
        await tab.linking.pairing_code(OURS, LONG_S, within_s=0.3)
    await tab.shows_one_that_can_be_scanned(before)


async def test_an_account_needs_no_code(tab: Tab) -> None:
    await tab.phone(tab.whatsapp.scan)
    await tab.until_usable()
    with pytest.raises(NotReady, match="linked already"):
        await tab.linking.pairing_code(OURS, LONG_S)


async def test_a_build_without_such_a_thing_says_so(tab: Tab) -> None:
    tab.whatsapp.set_options(hide=["WAWebAltDeviceLinkingApi"])
    before = tab.codes
    await tab.page.navigate()
    await tab.until(lambda: tab.page.snapshot.injected and len(tab.codes) > len(before), "the QR code")
    with pytest.raises(Refused, match="this build"):
        await tab.linking.pairing_code(OURS, LONG_S)
