"""What the page itself can be asked: whether it tells of what its store gets, and whether it reaches its site. On the
stand-in, and on a site with a service worker, in real Chromium."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from browser_agent import dossier
from browser_agent.site_reach import reaches
from browser_agent.site_watch import SiteWatch
from browser_agent.whatsapp.models import MessageSeen, PageEvent
from browser_agent.whatsapp.page import WhatsAppPage
from tests.harness.shared_chromium import SharedChromium
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME
from tests.whatsapp_web.wajs import BUNDLE
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

# They share a browser, and so its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

MAKE_DEAF = """(() => {
  const store = WPP.whatsapp.MsgStore;
  const { trigger } = store;
  store.trigger = function (name, ...given) { if (name !== 'add') trigger.call(this, name, ...given); };
})()"""
A_WHILE = "new Promise((done) => setTimeout(done, 1050))"
MAKE_HEAR = "void delete WPP.whatsapp.MsgStore.trigger"


class Tab:
    """A page, what it told, and how often messages turned out to have been missed."""

    def __init__(self, page: WhatsAppPage) -> None:
        self.page = page
        self.keys: list[str] = []
        self.missed = 0
        page.on_event = self._on_event
        page.on_missed = self._on_missed

    def _on_event(self, event: PageEvent) -> None:
        if isinstance(event, MessageSeen):
            self.keys.append(event.message.key)

    def _on_missed(self) -> None:
        self.missed += 1

    async def until(self, condition: Callable[[], bool], within_s: float = 40) -> None:
        """Ask the page until it is so."""
        async with asyncio.timeout(within_s):
            while True:
                await self.look()
                if condition():
                    return
                await asyncio.sleep(0.05)

    async def evaluate(self, expression: str) -> Any:
        """Also where the page, or what it is to wait for, takes long."""
        return await self.page._evaluate(expression, within_s=30)

    async def look(self) -> None:
        """Ask the page, until it answers once."""
        async with asyncio.timeout(40):
            while True:
                with suppress(PageTimeout):
                    await self.page.probe()
                    return

    async def listens(self) -> None:
        """Until what comes counts: ready at two looks, and a second after wa-js was injected."""
        await self.until(lambda: self.page.snapshot.authenticated and self.page.snapshot.info == "NORMAL")
        await self.evaluate(A_WHILE)
        await self.look()


async def tab_on(url: str, shared: SharedChromium, wa_js: Path = BUNDLE) -> Tab:
    tab = Tab(await WhatsAppPage.open(await shared.connect(), shared.chromium, url, wa_js))
    await tab.page.navigate()
    return tab


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(reconnect_first_ms=50) as whatsapp:
        yield whatsapp


@pytest_asyncio.fixture(loop_scope="module")
async def tab(whatsapp: WhatsAppWeb, shared: SharedChromium) -> Tab:
    """Linked, and listening."""
    whatsapp.reset()
    tab = await tab_on(whatsapp.url, shared)
    await asyncio.to_thread(whatsapp.scan, timeout_s=40)
    await tab.listens()
    return tab


# -- deafness --------------------------------------------------------------------------------------------------------


async def test_a_message_that_only_the_store_got_stands_until_a_later_one_is_told(
    tab: Tab, whatsapp: WhatsAppWeb
) -> None:
    hearing = tab.page.hearing
    heard = await asyncio.to_thread(whatsapp.deliver_text, "heard")
    await tab.until(lambda: heard in tab.keys and hearing.stored_at is not None and hearing.unheard_since is None)
    assert hearing.stored_at is not None
    assert hearing.told_at is not None

    await tab.evaluate(MAKE_DEAF)
    unheard = await asyncio.to_thread(whatsapp.deliver_text, "unheard")
    await tab.until(lambda: hearing.unheard_since is not None)
    since = hearing.unheard_since
    assert since is not None
    assert hearing.told_at < since <= (tab.page.answered_at or 0)
    assert hearing.stored_at > hearing.told_at
    await tab.until(lambda: tab.missed == 1)  # the audit is asked for at once, and once
    await asyncio.to_thread(whatsapp.deliver_text, "unheard too")
    # The first one counts. The page's delay in answering shows in each reckoning; the second came two seconds later.
    await tab.until(lambda: tab.missed == 2 and hearing.unheard_since == pytest.approx(since, abs=1))

    await tab.evaluate(MAKE_HEAR)
    later = await asyncio.to_thread(whatsapp.deliver_text, "heard again")
    await tab.until(lambda: later in tab.keys and hearing.unheard_since is None)
    assert unheard not in tab.keys


UNREADABLE = """(() => {
  const tell = (window.truly ??= window.waAgentTell);
  window.waAgentTell = (event) => {
    if (!event.startsWith('{"kind":"message"')) return tell(event);
    HOW
  };
})()"""
READABLE = "void (window.waAgentTell = window.truly)"


async def miss_one(tab: Tab, whatsapp: WhatsAppWeb) -> str:
    """The key of a message that cannot be read: at once the audit is to tell it, or that it cannot be read."""
    missed = tab.missed
    key = await asyncio.to_thread(whatsapp.deliver_text, "cannot be read")
    await tab.until(lambda: tab.missed > missed)
    return key


async def test_messages_that_cannot_be_read_are_unheard_from_the_second_on_until_one_can_be(
    tab: Tab, whatsapp: WhatsAppWeb
) -> None:
    hearing = tab.page.hearing
    for how in ("throw new TypeError('odd');", "tell(event.replace('\"key\":', '\"kez\":'));"):
        await tab.evaluate(UNREADABLE.replace("HOW", how))
        unread = [await miss_one(tab, whatsapp)]
        await tab.evaluate(A_WHILE)
        await tab.look()
        assert hearing.unheard_since is None, how  # no new page would read it
        unread.append(await miss_one(tab, whatsapp))
        await tab.until(lambda: hearing.unheard_since is not None)

        await tab.evaluate(READABLE)
        later = await asyncio.to_thread(whatsapp.deliver_text, "heard again")
        await tab.until(lambda: hearing.unheard_since is None)
        assert later in tab.keys
        assert not {*unread} & {*tab.keys}
        await tab.evaluate(A_WHILE)  # the next one is a later one


async def test_without_a_way_to_the_agent_nothing_is_heard(tab: Tab, whatsapp: WhatsAppWeb) -> None:
    await tab.evaluate("void (window.waAgentTell = undefined)")
    await asyncio.to_thread(whatsapp.deliver_text, "unheard")
    await tab.until(lambda: tab.page.hearing.unheard_since is not None)


async def test_a_new_document_hears_anew(tab: Tab, whatsapp: WhatsAppWeb) -> None:
    await tab.evaluate(MAKE_DEAF)
    key = await asyncio.to_thread(whatsapp.deliver_text, "unheard")
    await tab.until(lambda: tab.page.hearing.unheard_since is not None)
    await tab.page.reload()
    await tab.listens()
    assert tab.page.hearing.unheard_since is None  # history now, and the audit's
    assert key not in tab.keys
    again = await asyncio.to_thread(whatsapp.deliver_text, "heard")
    await tab.until(lambda: again in tab.keys)


def deliver_all_kinds(whatsapp: WhatsAppWeb) -> str:
    """Everything that may come, also what is told in another way or not at all; the key of the last."""
    whatsapp.deliver_location(45.46, 9.19, "Milan", author=BRUNO.phone)
    whatsapp.deliver_contact([("Dora", "BEGIN:VCARD\nEND:VCARD")])
    whatsapp.deliver_poll("Pizza?", ["Yes", "No"])
    whatsapp.deliver_album([b"one", b"two"])
    whatsapp.deliver_photo(b"photo", "image/jpeg")
    for kind in (
        "hologram",
        "ciphertext",
        "e2e_notification",
        "notification_template",
        "debug",
        "protocol",
        "revoked",
    ):
        whatsapp.deliver_text("", type=kind)
    for chat in ("120363000000000099@newsletter", "status@broadcast", ANNA.phone, BRUNO.lid):
        whatsapp.deliver_text("x", chat=chat)
    whatsapp.deliver_text("from another device", author=ME.phone)
    whatsapp.group_change(FAMILY.id, "remove", [ANNA.phone])
    target = whatsapp.deliver_text("changes")
    whatsapp.react(target, "!", author=BRUNO.phone)
    whatsapp.edit(target, "changed")
    whatsapp.revoke(target)
    whatsapp.deliver_many(3000)
    return whatsapp.deliver_text("last")


async def test_nothing_that_comes_to_a_page_that_hears_counts_as_unheard(tab: Tab, whatsapp: WhatsAppWeb) -> None:
    delivering = asyncio.create_task(asyncio.to_thread(deliver_all_kinds, whatsapp))
    seen: list[float] = []

    def is_over() -> bool:
        if tab.page.hearing.unheard_since is not None:
            seen.append(tab.page.hearing.unheard_since)
        return delivering.done() and delivering.result() in tab.keys

    await tab.until(is_over, within_s=80)
    await tab.page.call("keysSince", FAMILY.id, 0, 5000, within_s=30)  # history comes into the store
    await tab.evaluate("new Promise((done) => setTimeout(done, 2050))")  # when it would count as missed
    await tab.until(is_over)
    await asyncio.to_thread(whatsapp.drop)  # what came meanwhile comes with the link
    later = await asyncio.to_thread(whatsapp.deliver_many, 50)
    await asyncio.to_thread(whatsapp.restore)
    await tab.until(lambda: later[-1] in tab.keys and is_over())
    await tab.evaluate("new Promise((done) => setTimeout(done, 2050))")
    await tab.until(is_over)
    assert seen == []
    assert tab.missed == 0


async def test_a_look_at_a_full_store_costs_the_page_next_to_nothing(tab: Tab) -> None:
    took_ms: float = await tab.evaluate("""(() => {
      const store = WPP.whatsapp.MsgStore;
      const full = Array.from({ length: 100_000 }, (_, at) => ({ isNewMsg: true, type: 'chat', id: { at } }));
      store.getModelsArray = () => full.slice();
      waAgent.snapshot(); // the first passes the end of it
      return Math.min(...Array.from({ length: 20 }, () => { // what others take from the processor is not its own
        const started = performance.now();
        waAgent.snapshot();
        return performance.now() - started;
      }));
    })()""")
    assert took_ms < 2, took_ms


# -- the site --------------------------------------------------------------------------------------------------------


class Site(ThreadingHTTPServer):
    """A site whose service worker answers everything from memory. `refuses` closes connections unanswered; `status` is
    that of its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuses = False
        self.status = 200
        self.policy: str | None = None
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.server.refuses:
            self.close_connection = True
            return
        worker = (
            "self.addEventListener('install', () => self.skipWaiting());"
            "self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));"
            "self.addEventListener('fetch', (event) => event.respondWith(new Response('from memory')));"
        )
        is_worker = self.path == "/worker.js"
        body = (worker if is_worker else "<title>site</title>").encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/javascript" if is_worker else "text/html")
        self.send_header("Content-Length", str(len(body)))
        if self.server.policy:
            self.send_header("Content-Security-Policy", self.server.policy)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.05,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def no_wa_js(tmp_path: Path) -> Path:
    path = tmp_path / "wa.js"
    path.write_text("window.WPP = { on() {} };")
    return path


async def test_the_site_is_silent_after_two_requests_of_the_page_and_not_before(
    site: Site, shared: SharedChromium, no_wa_js: Path
) -> None:
    tab = await tab_on(site.url, shared, no_wa_js)
    # The worker would answer for a site that is gone.
    await tab.evaluate("""(async () => {
      const { serviceWorker } = navigator;
      const controls = new Promise((done) => { serviceWorker.oncontrollerchange = done; });
      await serviceWorker.register('/worker.js');
      if (!serviceWorker.controller) await controls;
    })()""")
    assert await tab.evaluate("fetch('/x').then((answer) => answer.text())") == "from memory"
    wanted = True
    watch = SiteWatch(
        lambda: tab.page,
        is_wanted=lambda: wanted,
        load_error=lambda: None,
        reaches=lambda: reaches(site.url),
        every_s=0.05,
    )
    watching = asyncio.create_task(watch.run())
    async with asyncio.timeout(60):
        while watch.answered_at is None:
            await asyncio.sleep(0.02)
        assert watch.silent_since is None
        site.refuses = True
        while watch.silent_since is None:
            assert len(watch._failures) < 2
            await asyncio.sleep(0.005)
        assert await tab.evaluate("fetch('/x').then((answer) => answer.text())") == "from memory"
        site.refuses = False
        while watch.silent_since is not None:
            await asyncio.sleep(0.02)
        site.refuses = True
        while watch.silent_since is None:
            await asyncio.sleep(0.02)
        wanted = False  # ready: nobody asks any more, and nothing is held against the site
        while watch.silent_since is not None:
            await asyncio.sleep(0.02)
    watching.cancel()
    site.refuses, site.status = False, 503
    assert await tab.page.ask_site() is False  # an outage of the site's, which no browser can mend
    site.status = 404
    assert await tab.page.ask_site() is True


async def test_a_page_that_may_not_ask_says_nothing_of_the_site(
    site: Site, shared: SharedChromium, no_wa_js: Path
) -> None:
    site.policy = "connect-src 'none'"
    tab = await tab_on(site.url, shared, no_wa_js)
    assert await tab.page.ask_site() is None
    site.refuses = True
    assert await tab.page.ask_site() is None


async def test_the_console_s_tail_is_kept_and_cut(site: Site, shared: SharedChromium, no_wa_js: Path) -> None:
    tab = await tab_on(site.url, shared, no_wa_js)
    await tab.evaluate("for (let n = 0; n < 60; n++) console.warn(n, { a: 1 })")
    await tab.evaluate("console.error('x'.repeat(1_000_000))")
    await tab.evaluate("void setTimeout(() => { throw new Error('thrown') }, 0)")
    await tab.evaluate("new Promise((done) => setTimeout(done, 50))")
    lines = tab.page.console.lines
    assert len(lines) == 50
    assert lines[-3:-2] == ["warning: 59 Object"]
    assert lines[-2] == "error: " + "x" * 293
    assert lines[-1].startswith("exception: Error: thrown")


async def test_a_dossier_of_a_start_that_never_ends_has_a_picture_and_the_console(
    shared: SharedChromium, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    status = Status(
        session_id="s", instance="i", pid=7, epoch=3, started_at=now, heartbeat_at=now, since=now,
        state=SessionState.STARTING, verdict=Verdict.PAGE_HUNG, verdict_reason="stuck_in_starting",
    )  # fmt: skip
    with WhatsAppWeb(boot="never") as whatsapp:
        tab = await tab_on(whatsapp.url, shared)
        await tab.evaluate("console.error('the boot hangs')")
        await tab.look()
        path = await dossier.keep(tab.page, status, "stuck_in_starting", "why", tmp_path / "session")
    assert path is not None
    document = json.loads(path.read_text())
    assert "error: the boot hangs" in document["console"]
    picture = await asyncio.to_thread(Path(document["screenshot"]).read_bytes)
    assert picture.startswith(b"\x89PNG")
