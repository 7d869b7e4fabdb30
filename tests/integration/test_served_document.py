"""A document of our own in place of the site's, on real Chromium: with a service worker that would serve its own, for
nothing but the tab's own document, and with nothing left paused whatever fails."""

import asyncio
import http.server
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import pytest_asyncio

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.cdp import CdpSession
from browser_agent.whatsapp.document import ServedDocument
from browser_agent.whatsapp.service_worker import ServiceWorkerBypass
from tests.harness.shared_chromium import SharedChromium
from whatsapp_contract.errors import PageTimeout

WORKER = b"""
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  if (event.request.mode === 'navigate') {
    event.respondWith(new Response('<title>worker</title>', { headers: { 'Content-Type': 'text/html' } }));
  }
});
"""
KEPT = b"<!doctype html><title>kept</title><iframe src='/?frame'></iframe>"


# They share a browser, and so its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Site(http.server.ThreadingHTTPServer):
    """A small site: whatever has no file is a page named `site`. Counts what reached it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        is_worker = self.path == "/sw.js"
        body = WORKER if is_worker else b"<!doctype html><title>site</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_worker else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Tab:
    def __init__(self, session: CdpSession, site: Site, sent_by: object = None) -> None:
        self.session = session
        sender = cast(CdpSession, sent_by or session)
        self.bypass = ServiceWorkerBypass(sender)
        self.document = ServedDocument(sender, site.url, self.bypass)
        self._loaded = asyncio.Event()
        session.on("Page.loadEventFired", lambda _params: self._loaded.set())

    async def load(self, url: str) -> str:
        """The title of what is on show after a navigation."""
        self._loaded.clear()
        await self.document.apply()
        answer = await self.session.call("Page.navigate", {"url": url}, within_s=20)
        assert "errorText" not in answer, answer
        async with asyncio.timeout(20):
            await self._loaded.wait()
        return str(await self.run("document.title"))

    async def run(self, script: str) -> Any:
        how = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = await self.session.call("Runtime.evaluate", how, within_s=20)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest_asyncio.fixture(loop_scope="module")
async def session(shared: SharedChromium) -> CdpSession:
    return await cdp.first_tab(await shared.connect(), within_s=20)


@pytest_asyncio.fixture(loop_scope="module")
async def tab(site: Site, session: CdpSession) -> Tab:  # whose connection is closed first
    tab = Tab(session, site)
    await tab.document.attach(within_s=20)
    return tab


async def test_the_tabs_own_document_is_served_and_nothing_else(tab: Tab, site: Site) -> None:
    assert await tab.load(site.url) == "site"
    tab.document.want(KEPT)
    assert await tab.load(site.url) == "kept"
    assert await tab.run("location.href") == site.url
    assert await tab.run("frames[0].document.title") == "site"
    assert "site" in await tab.run("fetch('/?fetched').then((answer) => answer.text())")
    assert await tab.load(f"{site.url}elsewhere") == "site"
    assert await tab.load(f"{site.url}?post_logout=1") == "kept"
    tab._loaded.clear()
    await tab.run("void setTimeout(() => location.reload(), 0)")
    async with asyncio.timeout(20):
        await tab._loaded.wait()
    assert tab.document.served == 3
    assert site.asked["/"] == 1
    tab.document.want(None)
    assert await tab.load(site.url) == "site"
    assert site.asked["/"] == 2


async def with_a_service_worker(tab: Tab, site: Site) -> None:
    await tab.load(site.url)
    await tab.run("navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready).then(() => 1)")
    assert await tab.load(site.url) == "worker"


async def test_a_service_worker_of_the_site_does_not_answer_in_its_place(tab: Tab, site: Site) -> None:
    await with_a_service_worker(tab, site)
    tab.document.want(KEPT)
    assert await tab.load(site.url) == "kept"
    tab.document.want(None)
    assert await tab.load(site.url) == "worker"


async def test_the_service_worker_is_passed_by_until_the_last_who_wants_that_lets_go(tab: Tab, site: Site) -> None:
    await with_a_service_worker(tab, site)
    async with tab.bypass.held():
        async with tab.bypass.held():
            assert await tab.load(site.url) == "site"
        assert await tab.load(site.url) == "site"
        tab.document.want(KEPT)
        assert await tab.load(site.url) == "kept"
    assert await tab.load(site.url) == "kept"
    async with tab.bypass.held():
        tab.document.want(None)
        assert await tab.load(site.url) == "site"
    assert await tab.load(site.url) == "worker"


class Deaf:
    """A session that does not hear the answer to `unheard`, once."""

    def __init__(self, session: CdpSession) -> None:
        self.on, self.send = session.on, session.send
        self.unheard = ""
        self._session = session

    async def call(self, method: str, params: dict[str, Any] | None = None, *, within_s: float) -> Any:
        answer = await self._session.call(method, params, within_s=within_s)
        if method == self.unheard:
            self.unheard = ""
            raise PageTimeout(f"{method} was not answered")
        return answer


async def test_what_was_half_applied_is_applied_or_undone_by_the_next_try(site: Site, session: CdpSession) -> None:
    deaf = Deaf(session)
    tab = Tab(session, site, deaf)
    await tab.document.attach(within_s=20)
    await with_a_service_worker(tab, site)
    for unheard, half, wanted, title in [
        ("Fetch.enable", KEPT, None, "worker"),
        ("Fetch.enable", KEPT, KEPT, "kept"),
        ("Fetch.disable", None, KEPT, "kept"),
        ("Fetch.disable", None, None, "worker"),
        ("Network.setBypassServiceWorker", KEPT, None, "worker"),
        ("Network.setBypassServiceWorker", KEPT, KEPT, "kept"),
    ]:
        deaf.unheard = unheard
        tab.document.want(half)
        with pytest.raises(PageTimeout):
            await tab.document.apply()
        tab.document.want(wanted)
        assert await tab.load(site.url) == title, (unheard, half, wanted)


async def test_it_is_served_by_a_new_process_after_a_crash(tab: Tab, site: Site) -> None:
    tab.document.want(KEPT)
    assert await tab.load(site.url) == "kept"
    crashed = asyncio.Event()
    tab.session.on("Inspector.targetCrashed", lambda _params: crashed.set())
    tab.session.send("Page.crash")
    async with asyncio.timeout(20):
        await crashed.wait()
    assert await tab.load(site.url) == "kept"
    assert site.asked["/"] == 0


class Spoiled:
    """A session between which and Chromium something is lost."""

    def __init__(self, session: CdpSession, answer: dict[str, Any], told: set[str]) -> None:
        self._session = session
        self._answer = answer
        self._told = told
        self.call = session.call

    def send(self, method: str, params: dict[str, Any]) -> "asyncio.Future[Any]":
        return self._session.send(method, {**params, **self._answer} if method == "Fetch.fulfillRequest" else params)

    def on(self, name: str, handler: Callable[[dict[str, Any]], None]) -> None:
        self._session.on(
            name, lambda params: handler({key: value for key, value in params.items() if key not in self._told})
        )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param({"responseCode": 9999}, set(), id="Chromium does not take the document"),
        pytest.param({}, {"frameId"}, id="the handler fails"),
    ],
)
async def test_whatever_fails_the_request_goes_on(
    site: Site, session: CdpSession, answer: dict[str, Any], told: set[str]
) -> None:
    tab = Tab(session, site, Spoiled(session, answer, told))
    await tab.document.attach(within_s=20)
    tab.document.want(KEPT)
    assert await tab.load(site.url) == "site"


async def test_many_other_requests_are_not_asked_about(tab: Tab, site: Site) -> None:
    paused: list[str] = []
    tab.session.on("Fetch.requestPaused", lambda params: paused.append(params["request"]["url"]))
    tab.document.want(KEPT.replace(b"/?frame", b"/frame"))
    await tab.load(site.url)
    script = "Promise.all(Array.from({length: 200}, (_, at) => fetch(`/?${at}`))).then((all) => all.length)"
    assert await tab.run(script) == 200
    assert paused == [site.url]


async def test_it_may_open_a_socket_to_its_own_site_on_this_machine(tab: Tab, site: Site) -> None:
    """Chromium takes a served document for one of a public site, which may not reach this machine."""
    tab.document.want(KEPT)
    assert await tab.load(site.url) == "kept"
    await tab.run(f"""new Promise((ended) => {{
        new WebSocket('{site.url.replace("http", "ws")}socket').addEventListener('error', ended);
    }}).then(() => 0)""")
    assert site.asked["/socket"] == 1  # reached, though it has no sockets
