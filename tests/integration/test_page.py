"""The page through its one door, on real Chromium: a site whose wa-js holds what the test wants it to hold."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from websockets.server import WebSocketServerProtocol, serve

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.models import MessageSeen, PageEvent, PageMessage
from browser_agent.whatsapp.page import WhatsAppPage
from tests.harness.shared_chromium import SharedChromium
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.wajs import BUNDLE
from whatsapp_contract.errors import BrowserGone, PageTimeout, ResetUnproven

# They share a browser, and so its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

WA_JS = """
window.WPP = {
  isInjected: true,
  version: '4.6.0',
  handlers: {},
  on(name, handler) { (this.handlers[name] ??= []).push(handler); },
  emit(name, ...given) { for (const handler of this.handlers[name] ?? []) handler(...given); },
  conn: { isAuthenticated: () => true, isRegistered: () => true, getMyUserId: () => '393330000000@c.us' },
  whatsapp: {
    Stream: { mode: 'MAIN', info: 'NORMAL' },
    Socket: { state: 'CONNECTED', reconnect() { window.opened = window.open_link(); window.flap(); } },
    functions: {},
    MsgStore: { getModelsArray: () => [] },
    ChatStore: { get: () => ({ name: 'Family' }) },
  },
};
window.open_link = () => new WebSocket(`ws://${location.host}/ws`);
window.state = (state) => { WPP.whatsapp.Socket.state = state; WPP.emit('conn.stream_info_changed'); };
window.flap = () => { state('OPENING'); setTimeout(state, 50, 'CONNECTED'); };
window.message = (more = {}) => ({
  id: { fromMe: false, remote: { toString: () => 'g@g.us', isGroup: () => true }, toString: () => 'false_g_1' },
  type: 'chat', body: 'hello', t: 1800000000, author: '393331111111@c.us', ...more,
});
"""
LONE = "\\ud800"


@dataclass
class Site:
    """An empty page, and a WebSocket on which the server says what it is told to. Who has a cookie `beta` is given a
    build of another number."""

    url: str = ""
    links: list[WebSocketServerProtocol] = field(default_factory=list)

    async def say(self) -> None:
        for link in self.links:
            await link.send("anything")

    async def listen(self, link: WebSocketServerProtocol) -> None:
        self.links.append(link)
        await link.send("welcome")
        await link.wait_closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _one_site() -> AsyncIterator[Site]:
    """One for all: at its end it waits for the connections that Chromium opens in advance."""
    site = Site()

    async def document(path: str, headers: Any) -> tuple[HTTPStatus, dict[str, str], bytes] | None:
        if path == "/ws":
            return None
        number = 200 if "beta=1" in headers.get("Cookie", "") else 100
        body = f'<title>site</title><script type="application/json">{{"client_revision":{number}}}</script>'
        return HTTPStatus.OK, {"Content-Type": "text/html"}, body.encode()

    async with serve(site.listen, "127.0.0.1", 0, process_request=document) as server:
        site.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        yield site


@pytest.fixture
def site(_one_site: Site) -> Site:
    _one_site.links.clear()
    return _one_site


class Tab:
    """A page that is loaded, and what it told."""

    def __init__(self, page: WhatsAppPage) -> None:
        self.page = page
        self.told: list[PageEvent] = []
        self.given = 0
        page.on_event = self.told.append
        page.given_storage.on_given = self._on_given

    def _on_given(self) -> None:
        self.given += 1

    async def run(self, script: str) -> Any:
        return await self.page._evaluate(f"(() => {{ {script} }})()", 20)

    async def hear(self, message: str) -> list[PageMessage]:
        """What is told of a message that has just come."""
        before = len(self.told)
        await self.run(f"WPP.emit('chat.new_message', {message})")
        return [event.message for event in self.told[before:] if isinstance(event, MessageSeen)]


async def opened(shared: SharedChromium, site: Site, folder: Path, local_storage: str | None = None) -> Tab:
    wa_js = folder / "wa.js"
    wa_js.write_text(WA_JS)
    tab = Tab(await WhatsAppPage.open(await shared.connect(), shared.chromium, site.url, wa_js, local_storage))
    await tab.page.navigate()
    return tab


@pytest_asyncio.fixture(loop_scope="module")
async def tab(site: Site, shared: SharedChromium, tmp_path: Path) -> Tab:  # whose connections are closed first
    return await opened(shared, site, tmp_path)


# -- odd values ------------------------------------------------------------------------------------------------------


async def test_what_the_site_holds_may_be_of_any_type(tab: Tab) -> None:
    await tab.run(f"""
        window.Debug = {{ VERSION: 23000 }};
        WPP.whatsapp.Stream = {{ mode: ['MAIN'], get info() {{ throw new Error('no') }} }};
        WPP.whatsapp.Socket = {{ state: 'odd{LONE}' }};
        WPP.conn.isAuthenticated = () => 1;
        WPP.conn.isRegistered = () => {{ throw new Error('no') }};
    """)
    snapshot = await tab.page.probe()
    assert (snapshot.version, snapshot.mode, snapshot.info) == ("23000", "MAIN", None)
    assert snapshot.socket == "odd\ufffd"
    assert (snapshot.authenticated, snapshot.registered) == (True, False)


@pytest.mark.parametrize("answer", ["{injected: 'perhaps'}", "5", "{injected: true, mode: {}}"])
async def test_an_answer_that_is_none_counts_as_no_answer(tab: Tab, answer: str) -> None:
    before = tab.page.answered_at
    await tab.run(f"waAgent.snapshot = () => ({answer})")
    with pytest.raises(PageTimeout, match="odd StreamSnapshot"):
        await tab.page.probe()
    assert tab.page.answered_at == before
    await tab.run("waAgent.account = () => 5")
    with pytest.raises(PageTimeout, match="odd PageWid"):
        await tab.page.account()


async def test_half_a_surrogate_costs_no_message(tab: Tab) -> None:
    await tab.run(f"WPP.whatsapp.ChatStore.get = () => ({{ name: '{LONE}' }})")
    (told,) = await tab.hear(f"message({{ body: 'cut {LONE}' }})")
    assert (told.text, told.chat_name) == ("cut \ufffd", "\ufffd")


async def test_odd_media_costs_no_message(tab: Tab) -> None:
    odd = "{ type: 'image', mediaData: {}, width: 1080.4, height: 'tall', size: 1n, mimetype: 7, filehash: null }"
    (told,) = await tab.hear(f"message({odd})")
    assert told.media is not None
    assert told.media.model_dump() == {
        "mimetype": "7", "size": None, "filehash": None, "filename": None, "width": 1080, "height": None
    }  # fmt: skip


async def test_what_cannot_be_read_is_left_out(tab: Tab) -> None:
    fields = ("chat", "type", "body", "t", "author", "quotedStanzaID", "isForwarded", "ephemeralDuration", "mediaData")
    (told,) = await tab.hear(f"""(() => {{
        const odd = message();
        for (const name of {list(fields)}) Object.defineProperty(odd, name, {{ get() {{ throw new Error('no') }} }});
        odd.id.remote.isGroup = () => {{ throw new Error('no') }};
        return odd;
    }})()""")
    assert (told.key, told.chat_id, told.is_group, told.type) == ("false_g_1", "g@g.us", True, "unknown")
    assert (told.text, told.t, told.media, told.chat_name) == (None, None, None, "Family")


async def test_a_message_that_cannot_be_told_is_logged_without_its_text(tab: Tab) -> None:
    nameless = "({ id: { toString() { throw new TypeError('secret') } } })"
    homeless = "{ id: { toString: () => 'false_g_1', remote: { toString() { throw new TypeError('secret') } } } }"
    with capture_logs() as logs:
        assert await tab.hear(nameless) == await tab.hear(f"message({homeless})") == []
    assert [(entry["where"], entry["error"]) for entry in logs] == [("message", "TypeError")] * 2
    assert "secret" not in repr(logs)
    assert len(await tab.hear("message()")) == 1


async def test_a_message_that_was_not_taken_in_does_not_count_as_told(tab: Tab) -> None:
    def refuse(_event: PageEvent) -> None:
        raise RuntimeError("there is no room")

    hearing, tab.page.on_event = tab.page.hearing, refuse
    with capture_logs() as logs:
        await tab.hear("message()")
    assert [entry["event"] for entry in logs] == ["a DevTools event handler failed"]
    assert hearing.told_at is None
    await tab.page.probe()
    assert hearing.unheard_since == hearing.stored_at is not None
    tab.page.on_event = tab.told.append
    assert len(await tab.hear("message()")) == 1
    assert hearing.told_at is not None
    assert hearing.unheard_since is None


# -- the link --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("functions", "can"),
    [
        ("{}", False),
        ("{ get queryWidExists() { throw new Error('no') } }", False),
        ("{ queryAllGroups: () => new Promise(() => {}) }", True),
        ("{ queryWidExists: () => Promise.reject(new Error('later')) }", True),
    ],
)
async def test_a_link_that_could_not_be_asked_is_not_dead(tab: Tab, functions: str, can: bool) -> None:
    await tab.run(f"WPP.whatsapp.functions = {functions}")
    assert await tab.page.ask_server() is can
    await tab.page.link.expect_answer(tab.page.ask_server, 0.05)
    assert tab.page.link.is_dead is can
    assert (tab.page.link.asked_at is not None) is can


async def test_a_query_is_not_waited_for_and_without_an_account_another_one_is_asked(tab: Tab) -> None:
    await tab.run("""
        window.asked = [];
        WPP.conn.getMyUserId = () => undefined;
        const never = (name) => () => { asked.push(name); return new Promise(() => {}); };
        WPP.whatsapp.functions = { queryWidExists: never('me'), queryAllGroups: never('groups') };
    """)
    async with asyncio.timeout(20):
        assert await tab.page.ask_server()
    assert await tab.run("return asked") == ["groups"]


async def linked(tab: Tab, site: Site) -> None:
    await tab.run("window.link = open_link()")
    async with asyncio.timeout(20):
        while tab.page.link.frame_at is None:
            await asyncio.sleep(0.01)
    assert len(site.links) == 1


async def test_a_new_connection_that_is_heard_proves_a_reset(tab: Tab, site: Site) -> None:
    await linked(tab, site)
    await tab.page.reset(within_s=20)
    assert len(site.links) == 2


@pytest.mark.parametrize("new", ["null", "new WebSocket('ws://127.0.0.1:9/')"])
async def test_late_frames_of_the_old_connection_prove_nothing(tab: Tab, site: Site, new: str) -> None:
    await linked(tab, site)
    await tab.run(f"window.open_link = () => {new}")

    async def go_on() -> None:
        while True:
            await site.say()
            await asyncio.sleep(0.05)

    talking = asyncio.create_task(go_on())
    with pytest.raises(ResetUnproven):
        await tab.page.reset(within_s=1)
    talking.cancel()
    async with asyncio.timeout(20):
        while tab.page.snapshot.socket != "CONNECTED":
            await asyncio.sleep(0.01)


async def test_a_new_connection_of_a_worker_proves_a_reset(tab: Tab, site: Site) -> None:
    await tab.run("""
        const script = "onmessage = (event) => { self.link?.close(); self.link = new WebSocket(event.data); }";
        const worker = new Worker(URL.createObjectURL(new Blob([script])));
        window.open_link = () => worker.postMessage(`ws://${location.host}/ws`);
        setTimeout(open_link, 200);
    """)
    async with asyncio.timeout(20):
        while tab.page.link.frame_at is None:
            await asyncio.sleep(0.01)
    await tab.page.reset(within_s=20)
    assert len(site.links) == 2


async def test_where_no_connection_was_ever_seen_the_state_has_to_do(tab: Tab) -> None:
    await tab.run("window.open_link = () => null")
    await tab.page.reset(within_s=20)
    await tab.run("window.flap = () => null")
    with pytest.raises(ResetUnproven):
        await tab.page.reset(within_s=0.6)


async def test_a_takeover_is_proven_by_the_state_and_a_new_connection_that_is_heard(tab: Tab, site: Site) -> None:
    await linked(tab, site)
    taken = "WPP.whatsapp.Stream.mode = 'MAIN'; state('CONNECTED')"
    for without_proof in (
        "undefined",  # a build that lacks it
        "() => { throw new Error('no') }",
        f"() => {{ {taken} }}",
        "() => { open_link() }",
    ):
        await tab.run(f"WPP.whatsapp.Stream.mode = 'CONFLICT'; WPP.whatsapp.Socket.takeover = {without_proof}")
        await tab.run("state('CONFLICT')")
        with pytest.raises(ResetUnproven, match="not taken over"):
            await tab.page.take_over(within_s=0.4)
    async with asyncio.timeout(20):
        while len(site.links) < 2:  # the one that was opened without proof may be late
            await asyncio.sleep(0.01)
    before = len(site.links)
    await tab.run(f"WPP.whatsapp.Socket.takeover = () => {{ open_link(); setTimeout(() => {{ {taken} }}, 50); }}")
    await tab.page.take_over(within_s=20)
    assert (tab.page.snapshot.mode, len(site.links)) == ("MAIN", before + 1)


async def test_the_site_is_asked_for_its_build_with_the_pages_cookies(tab: Tab) -> None:
    assert await tab.page.served_revision() == "100"
    await tab.run("document.cookie = 'beta=1'")
    assert await tab.page.served_revision() == "200"


async def test_the_real_wa_js_on_the_stand_in(shared: SharedChromium) -> None:
    with WhatsAppWeb() as whatsapp:
        page = await WhatsAppPage.open(await shared.connect(), shared.chromium, whatsapp.url, BUNDLE)
        tab = Tab(page)
        await page.navigate()
        await asyncio.to_thread(whatsapp.scan)
        async with asyncio.timeout(20):
            while page.snapshot.mode != "MAIN" or page.snapshot.info != "NORMAL":
                await page.probe()
                await asyncio.sleep(0.05)
        assert page.snapshot.authenticated
        assert await page.ask_server()
        await page.link.expect_answer(page.ask_server, 20)
        assert page.link.answered_at is not None
        await page.reset()
        await asyncio.to_thread(whatsapp.conflict)
        async with asyncio.timeout(20):
            while page.snapshot.mode != "CONFLICT":
                await asyncio.sleep(0.02)
        await page.take_over()
        assert page.snapshot.mode == "MAIN"

        key = await asyncio.to_thread(whatsapp.deliver_text, "hello")
        async with asyncio.timeout(20):
            while not any(isinstance(event, MessageSeen) and event.message.key == key for event in tab.told):
                await asyncio.sleep(0.02)
        (told,) = [event.message for event in tab.told if isinstance(event, MessageSeen)]
        assert (told.text, told.type, told.media, told.is_group) == ("hello", "chat", None, True)
        assert told.t is not None
        assert told.author is not None
        assert told.author.phone is not None
        assert (await page.local_storage())["origin"] == whatsapp.url.rstrip("/")
        await asyncio.to_thread(whatsapp.half_open)
        await page.link.expect_answer(page.ask_server, 0.5)
        assert page.link.is_dead
        await page.reset()
        assert not page.link.is_dead


# -- localStorage ----------------------------------------------------------------------------------------------------

ITEMS = {"WAToken": '"x"', "__proto__": "a key like any other", "odd": "\ud800", "</script>": "'\u2028"}


async def test_a_dump_of_localstorage_is_what_the_first_document_starts_with(
    site: Site, shared: SharedChromium, tmp_path: Path
) -> None:
    dump = {"origin": site.url.rstrip("/"), "items": ITEMS}
    tab = await opened(shared, site, tmp_path, json.dumps(dump))
    assert tab.given == 1
    assert await tab.page.local_storage() == dump

    await tab.run("localStorage.clear(); localStorage.setItem('mine', '1')")
    await tab.page.navigate()
    assert await tab.page.local_storage() == {**dump, "items": {"mine": "1"}}
    assert tab.given == 1


async def test_wa_js_finds_it_already_there_and_what_was_there_is_gone(
    site: Site, shared: SharedChromium, tmp_path: Path
) -> None:
    first = await opened(shared, site, tmp_path)
    await first.run("localStorage.setItem('old', '1')")
    await cdp.connection_of(first.page.browser).dispose()
    dump = {"origin": site.url.rstrip("/"), "items": {"new": "1"}}
    wa_js = tmp_path / "later.js"
    wa_js.write_text(WA_JS + "window.atStart = Object.keys(localStorage);")
    tab = Tab(await WhatsAppPage.open(await shared.connect(), shared.chromium, site.url, wa_js, json.dumps(dump)))
    await tab.page.navigate()
    assert await tab.run("return atStart") == ["new"]


async def test_another_origin_gets_nothing_of_it(site: Site, shared: SharedChromium, tmp_path: Path) -> None:
    tab = await opened(shared, site, tmp_path, json.dumps({"origin": "https://elsewhere.example", "items": ITEMS}))
    assert tab.given == 0
    assert (await tab.page.local_storage())["items"] == {}


async def test_a_browser_that_has_just_come_up_may_take_its_time(
    site: Site, shared: SharedChromium, tmp_path: Path
) -> None:
    """As on a small machine, whose disk is slow. Whoever gives it up starts another one, which takes as long."""
    browser = await shared.connect()
    (wa_js := tmp_path / "wa.js").write_text(WA_JS)
    os.kill(shared.chromium.pid, signal.SIGSTOP)
    try:
        opening = asyncio.create_task(WhatsAppPage.open(browser, shared.chromium, site.url, wa_js))
        await asyncio.wait([opening], timeout=6)  # longer than a page that is open has for an answer
        assert not opening.done()
    finally:
        os.kill(shared.chromium.pid, signal.SIGCONT)
    await (await opening).navigate()


async def test_without_wa_js_to_be_read_there_is_no_page(shared: SharedChromium, tmp_path: Path) -> None:
    browser = await shared.connect()
    with pytest.raises(BrowserGone, match=r"none\.js"):
        await WhatsAppPage.open(browser, shared.chromium, "http://127.0.0.1:9/", tmp_path / "none.js")
