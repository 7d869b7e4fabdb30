"""What the status page weighs, and how long after the address was entered it tells the state."""

import urllib.request
from pathlib import Path
from typing import Any

from tests.harness.redis_server import RedisServer
from tests.harness.shown_session import ShownSession
from tests.harness.web_process import API_TOKEN, SESSION, WebProcess
from tests.whatsapp_web.browser import Browser, Page
from web.logins import Logins
from web.tokens import Tokens

from .report import Figure, median_worst

ROUNDS = 15
# A phone's: 150 ms to the server and back, 1.6 Mbit/s.
PHONE = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 100_000}

_STATE = "performance.getEntriesByName('first state')[0]?.startTime"
_LOADED = "document.readyState === 'complete' && performance.timing.domContentLoadedEventEnd > 0"
_FORM = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
_ALL_READ = "document.body?.dataset.loaded === 'yes' && !/Reading…/.test(document.querySelector('main').textContent)"


def run(folder: Path) -> list[Figure]:
    with (
        RedisServer(folder / "redis") as server,
        WebProcess(server, folder / "web") as web,
        Browser(folder / "chromium") as browser,
        server.client() as client,
    ):
        ShownSession(client).eventful()
        bench = _Bench(browser, web.url)
        bench.state_s()  # the first one is slower: files are packed then
        first, data, again = bench.weigh()
        form = bench.weigh_form()
        near = [bench.state_s() for _ in range(ROUNDS)]
        near_form = [bench.form_s() for _ in range(ROUNDS)]
        far = [bench.state_s(PHONE) for _ in range(5)]
        far_form = [bench.form_s(PHONE) for _ in range(5)]
    return [
        Figure("status page, first visit, over the wire", first, f"{form} the form alone", "60 kB"),
        Figure("what its panels then read", data, "none", "60 kB"),
        Figure("status page, second visit", again, f"{form} the form alone", "10 kB"),
        Figure(
            "address entered to first state on the page",
            median_worst(near, "s"),
            f"{median_worst(near_form, 's')} the form, without script",
            "0.5 s",
        ),
        Figure(
            "the same by a phone's line (150 ms, 1.6 Mbit/s)",
            median_worst(far, "s"),
            f"{median_worst(far_form, 's')} the form",
            "2 s",
        ),
    ]


class _Bench:
    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        with urllib.request.build_opener(_NoRedirect()).open(f"{url}/?token={API_TOKEN}") as answer:
            self._cookie = str(answer.headers["Set-Cookie"]).split(";")[0].partition("=")[2]

    def state_s(self, line: dict[str, Any] | None = None) -> float:
        """On a browser that has never been here, but is logged in."""
        page = self._fresh(line)
        page.goto(f"{self._url}/")
        took_ms = float(page.until(_STATE, 30))
        self._browser.clear()
        return took_ms / 1000

    def form_s(self, line: dict[str, Any] | None = None) -> float:
        page = self._fresh(line, login=False)
        page.goto(f"{self._url}/")
        page.until(_LOADED, 30)
        took_ms = float(page.evaluate(_FORM))
        self._browser.clear()
        return took_ms / 1000

    def weigh(self) -> tuple[str, str, str]:
        """The page itself, what its panels read, and the page when it is opened again; headers included."""
        page = self._fresh(None)
        counted = _Counted(page)
        page.goto(f"{self._url}/")
        page.until(_ALL_READ, 30)
        first, data = counted.told("/api/", but=True), counted.told("/api/")
        counted.sizes.clear()
        page.goto(f"{self._url}/")
        page.until(_ALL_READ, 30)
        again = counted.told("/api/", but=True)
        self._browser.clear()
        return first, data, again

    def weigh_form(self) -> str:
        page = self._fresh(None, login=False)
        counted = _Counted(page)
        page.goto(f"{self._url}/")
        page.until(_LOADED, 30)
        told = counted.told("/api/", but=True)
        self._browser.clear()
        return told

    def _fresh(self, line: dict[str, Any] | None, *, login: bool = True) -> Page:
        page = self._browser.new_page(isolated=True)
        if login:
            page.devtools.call(
                "Network.setCookie", name=Logins(Tokens("any"), SESSION).cookie, value=self._cookie, url=self._url
            )
        if line is not None:
            page.devtools.call("Network.emulateNetworkConditions", **line)
        return page


class _Counted:
    """Bytes over the wire, by address; what came from the cache has none."""

    def __init__(self, page: Page) -> None:
        self.sizes: dict[str, int] = {}
        self._urls: dict[str, str] = {}
        page.devtools.on("Network.requestWillBeSent", self._asked)
        page.devtools.on("Network.loadingFinished", self._finished)

    def told(self, part: str, *, but: bool = False) -> str:
        """Of the addresses that have this part, or of all but these."""
        sizes = [size for url, size in self.sizes.items() if (part in url) != but and size]
        return f"{sum(sizes) / 1000:.1f} kB in {len(sizes)} requests"

    def _asked(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["request"]["url"]

    def _finished(self, event: dict[str, Any]) -> None:
        url = self._urls.get(event["requestId"], "")
        if url.startswith("http"):
            self.sizes[url] = int(event["encodedDataLength"])


class _NoRedirect(urllib.request.HTTPErrorProcessor):
    """The answer itself has the cookie."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response
