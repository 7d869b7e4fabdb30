"""Every way in which unpatched pyppeteer loses its connection or hangs, on real Chromium."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pyppeteer.browser import Browser

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.cdp import CdpConnection, CdpSession, ChromiumRefused
from browser_agent.whatsapp.chromium import Chromium, open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.shared_chromium import SharedChromium
from whatsapp_contract.errors import BrowserGone, NotReady, PageCrashed, PageTimeout

# They share a browser, and so its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Setting:
    chromium: Chromium
    connection: CdpConnection
    session: CdpSession

    async def evaluate(self, expression: str, within_s: float = 20) -> Any:
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await self.session.call("Runtime.evaluate", parameters, within_s=within_s)
        return answer["result"].get("value")

    async def lives(self) -> bool:
        return bool(await self.evaluate("6 * 7") == 42)


async def setting(chromium: Chromium, browser: Browser) -> Setting:
    return Setting(chromium, cdp.connection_of(browser), (await browser.pages())[0]._client)


@pytest_asyncio.fixture(loop_scope="module")
async def page(shared: SharedChromium) -> Setting:
    return await setting(shared.chromium, await shared.connect())


@pytest_asyncio.fixture(loop_scope="module")
async def own(tmp_path: Path) -> AsyncIterator[Setting]:
    """Of a browser that comes to harm."""
    async with open_chromium(find_executable(None), tmp_path / "profile", sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=20)
        yield await setting(chromium, browser)
        await cdp.connection_of(browser).dispose()


async def test_a_handler_that_raises_costs_neither_the_connection_nor_the_next_handler(page: Setting) -> None:
    heard: list[Any] = []

    def broken(_params: Any) -> None:
        raise ZeroDivisionError

    page.session.on("Page.loadEventFired", broken)
    page.session.on("Page.loadEventFired", heard.append)
    await page.session.call("Page.navigate", {"url": "data:text/html,one"}, within_s=20)
    while not heard:
        await asyncio.sleep(0.01)
    assert await page.lives()


async def test_a_reply_after_its_caller_gave_up_is_dropped(page: Setting) -> None:
    with pytest.raises(PageTimeout):
        await page.evaluate("new Promise((done) => setTimeout(done, 300))", within_s=0.05)
    await asyncio.sleep(0.4)  # the late reply itself is what is waited for
    assert await page.lives()


async def test_a_binding_of_our_own_with_a_payload_that_is_not_pyppeteer_s(page: Setting) -> None:
    heard: list[tuple[str, str]] = []
    page.session.on_binding = lambda name, payload: heard.append((name, payload))
    await page.session.call("Runtime.addBinding", {"name": "tell"}, within_s=5)
    for payload in ("not json", '{"no": "name"}', "[]"):
        await page.evaluate(f"tell({payload!r})")
    assert heard == [("tell", "not json"), ("tell", '{"no": "name"}'), ("tell", "[]")]

    def broken(_name: str, _payload: str) -> None:
        raise ZeroDivisionError

    page.session.on_binding = broken
    await page.evaluate("tell('raises')")
    assert await page.lives()


async def test_a_busy_page_times_out_while_the_browser_answers_and_can_be_freed(page: Setting) -> None:
    told: list[str] = []
    page.session.on_binding = lambda name, _payload: told.append(name)
    await page.session.call("Runtime.addBinding", {"name": "tell"}, within_s=20)
    with pytest.raises(PageTimeout):
        await page.evaluate("tell('begins'); for (;;);", within_s=0.3)
    while not told:  # ended before it begins, it would not end
        await asyncio.sleep(0.01)
    assert "Chrom" in (await page.connection.call("Browser.getVersion", within_s=20))["product"]
    await page.session.call("Runtime.terminateExecution", within_s=20)
    assert await page.lives()


async def test_a_crash_fails_what_waits_and_what_comes_at_once_and_a_reload_heals_it(page: Setting) -> None:
    waiting = asyncio.create_task(page.evaluate("new Promise(() => {})", within_s=30))
    await asyncio.sleep(0)
    crashed = asyncio.Event()
    page.session.on("Inspector.targetCrashed", lambda _params: crashed.set())
    page.session.send("Page.crash")
    started = time.monotonic()
    with pytest.raises(PageCrashed):
        await waiting
    assert crashed.is_set()
    with pytest.raises(PageCrashed):
        await page.evaluate("1", within_s=30)
    assert time.monotonic() - started < 20
    await page.session.call("Page.reload", within_s=20)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert await page.lives()
            return
        except (PageCrashed, NotReady):
            await asyncio.sleep(0.02)
    raise AssertionError("the page did not come back")


async def test_a_killed_browser_fails_what_waits_at_once_and_everything_after(own: Setting) -> None:
    waiting = asyncio.create_task(own.evaluate("new Promise(() => {})", within_s=30))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    os.killpg(own.chromium.pid, signal.SIGKILL)
    with pytest.raises(BrowserGone):
        await waiting
    async with asyncio.timeout(10):
        await own.connection.closed.wait()
    with pytest.raises(BrowserGone):
        await own.evaluate("1")
    with pytest.raises(BrowserGone):
        await own.connection.call("Browser.getVersion", within_s=1)
    assert time.monotonic() - started < 10


async def test_a_frozen_browser_is_gone_after_the_deadline_and_back_when_it_goes_on(page: Setting) -> None:
    os.killpg(page.chromium.pid, signal.SIGSTOP)
    with pytest.raises(BrowserGone):
        await page.connection.call("Browser.getVersion", within_s=0.3)
    os.killpg(page.chromium.pid, signal.SIGCONT)
    assert (await page.connection.call("Browser.getVersion", within_s=20))["product"]
    assert await page.lives()


async def test_a_cut_connection_fails_what_waits_and_tells_its_browser(page: Setting) -> None:
    waiting = asyncio.create_task(page.evaluate("new Promise(() => {})", within_s=30))
    await asyncio.sleep(0.05)
    assert page.connection._websocket is not None
    page.connection._websocket.abort()  # as if the network had cut it
    with pytest.raises(BrowserGone):
        await waiting
    assert page.connection.closed.is_set()


async def test_a_call_that_meets_a_change_of_documents_is_not_ready_rather_than_a_bug(page: Setting) -> None:
    waiting = asyncio.create_task(page.evaluate("new Promise(() => {})", within_s=10))
    await asyncio.sleep(0.05)
    await page.session.call("Page.navigate", {"url": "data:text/html,elsewhere"}, within_s=20)
    with pytest.raises(NotReady):
        await waiting
    assert await page.lives()


async def test_what_chromium_refuses_is_an_error_of_that_call_alone(page: Setting) -> None:
    with pytest.raises(ChromiumRefused, match="wasn't found"):
        await page.session.call("No.suchMethod", within_s=5)
    assert await page.lives()


async def test_a_worker_s_session_is_there_before_its_first_event(page: Setting) -> None:
    attached: list[dict[str, Any]] = []
    page.session.on("Target.attachedToTarget", attached.append)
    await page.evaluate("void new Worker(URL.createObjectURL(new Blob(['onmessage = (e) => postMessage(e.data)'])))")
    while not attached:
        await asyncio.sleep(0.01)
    session = page.connection._sessions[attached[0]["sessionId"]]
    answer = await session.call("Runtime.evaluate", {"expression": "typeof importScripts"}, within_s=20)
    assert answer["result"]["value"] == "function"


async def test_a_thousand_calls_at_once_all_get_their_own_answer(page: Setting) -> None:
    answers = await asyncio.gather(*(page.evaluate(str(n)) for n in range(1000)))
    assert answers == list(range(1000))


async def test_messages_of_megabytes_pass_both_ways(page: Setting) -> None:
    length = 20_000_000
    came_in = await page.evaluate(f"{'x' * length!r}.length", within_s=60)
    came_out = len(await page.evaluate(f"'y'.repeat({length})", within_s=60))
    assert (came_in, came_out) == (length, length)


async def test_a_browser_that_is_lost_while_its_tab_is_looked_for_is_gone(tmp_path: Path) -> None:
    async with open_chromium(find_executable(None), tmp_path / "profile", sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=20)
        os.killpg(chromium.pid, signal.SIGSTOP)
        with pytest.raises(BrowserGone, match="first tab"):
            await cdp.first_tab(browser, within_s=0.2)
        os.killpg(chromium.pid, signal.SIGKILL)
        with pytest.raises(BrowserGone):
            await cdp.first_tab(browser, within_s=5)
        with pytest.raises(BrowserGone):
            await cdp.connect(chromium.endpoint, within_s=5)


async def test_a_browser_without_a_tab_is_gone(own: Setting) -> None:
    browser = await cdp.connect(own.chromium.endpoint, within_s=20)
    session = await cdp.first_tab(browser, within_s=20)
    await session.call("Page.close", within_s=20)
    async with asyncio.timeout(20):
        while await browser.pages():
            await asyncio.sleep(0.01)
    with pytest.raises(BrowserGone, match="first tab"):
        await cdp.first_tab(browser, within_s=5)


async def test_no_browser_to_connect_to_is_said_in_time() -> None:
    with pytest.raises(BrowserGone):
        await cdp.connect("ws://127.0.0.1:9/devtools/browser/none", within_s=2)
