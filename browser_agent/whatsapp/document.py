"""Serving a document of our own in place of the site's: the same address, cookies and storage, another build.

Only the tab's own document at the site's address is answered here. Whatever else matches is let go on at once, and
what does not match is not even asked about. Each paused request gets its answer in the step in which it is told: what
is served lies ready in memory, and nothing is waited for. The site's service worker is passed by meanwhile.
"""

import asyncio
import base64
import contextlib
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from whatsapp_contract.errors import ContractError
from whatsapp_contract.logs import get_logger

from .cdp import CdpSession, ChromiumRefused
from .service_worker import ServiceWorkerBypass

log = get_logger(__name__)

WITHIN_S = 2.0
_HALF = "half"  # instead of what is applied, while that is not certain
_LOCAL_PERMISSIONS = ("local-network-access", "local-network", "loopback-network")


class ServedDocument:
    """One per tab; `attach` comes first. `want` says what to serve; `apply` has to come before the navigation that is
    to get it."""

    def __init__(self, session: CdpSession, url: str, bypass: ServiceWorkerBypass) -> None:
        self.served = 0  # how many navigations were answered
        self._session = session
        self._url = url
        self._bypass = bypass
        self._applying = asyncio.Lock()
        self._wanted: str | None = None  # base64
        self._applied: str | None = None
        self._answer: dict[str, Any] | None = None
        self._frame: str | None = None  # the tab's own, the same over all its documents
        session.on("Fetch.requestPaused", self._on_paused)

    async def attach(self, *, within_s: float) -> None:
        """Learn which frame is the tab's own, which a page that hangs would not tell. Raises what CdpSession.call
        raises."""
        tree = await self._session.call("Page.getFrameTree", within_s=within_s)
        self._frame = tree["frameTree"]["frame"]["id"]

    def want(self, document: bytes | None) -> None:
        """None: what the site serves."""
        self._wanted = None if document is None else base64.b64encode(document).decode()

    async def apply(self) -> None:
        """From here on navigations get what is wanted. Raises what CdpSession.call raises; then they get what they got
        before, or the site's own, and the next call does it all again."""
        async with self._applying:
            wanted = self._wanted
            if self._applied is wanted:
                return
            self._applied = _HALF
            if wanted is None:
                await self._session.call("Fetch.disable", within_s=WITHIN_S)
                self._answer = None
                self._bypass.let_go(self)
            else:
                await self._bypass.hold(self)
                await self._allow_its_own_network()
                await self._session.call("Fetch.enable", {"patterns": _patterns(self._url)}, within_s=WITHIN_S)
                self._answer = _answer(wanted)
            self._applied = wanted

    async def _allow_its_own_network(self) -> None:
        """A document that we serve came from no address, and Chromium takes it for a public one: from a site that is
        on this machine, or in its network, it would not be let open a WebSocket to that very site."""
        if not _is_local(self._url):
            return
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self._url))
        for name in _LOCAL_PERMISSIONS:
            given = {"permission": {"name": name}, "setting": "granted", "origin": origin}
            # Versions of Chromium differ in which of them there are.
            with contextlib.suppress(ChromiumRefused):
                await self._session.call("Browser.setPermission", given, within_s=WITHIN_S)

    def _on_paused(self, paused: dict[str, Any]) -> None:
        request = {"requestId": paused["requestId"]}
        method, params = "Fetch.continueRequest", request
        try:
            if self._answer is not None and self._is_the_document(paused):
                method, params = "Fetch.fulfillRequest", {**request, **self._answer}
                self.served += 1
        finally:
            self._send(method, params)

    def _is_the_document(self, paused: dict[str, Any]) -> bool:
        return bool(paused["frameId"] == self._frame and paused["request"]["method"] == "GET")

    def _send(self, method: str, params: dict[str, Any]) -> None:
        sent = self._session.send(method, params)
        if method == "Fetch.fulfillRequest":
            sent.add_done_callback(lambda done: self._on_answered(done, params["requestId"]))

    def _on_answered(self, done: "asyncio.Future[Any]", request_id: str) -> None:
        """Where Chromium did not take the document, it gets the site's: nothing stays paused."""
        if done.cancelled() or (error := done.exception()) is None or isinstance(error, ContractError):
            return  # answered; or the tab is gone, and its requests with it
        log.error("the kept document could not be served", error=str(error))
        self._session.send("Fetch.continueRequest", {"requestId": request_id})


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _patterns(url: str) -> list[dict[str, str]]:
    """The address itself, and with a query behind it. `*`, `?` and the backslash have a meaning in patterns."""
    exactly = "".join(f"\\{char}" if char in "*?\\" else char for char in url.split("#", maxsplit=1)[0])
    ways = (exactly,) if "?" in url else (exactly, f"{exactly}\\?*")
    return [{"urlPattern": way, "resourceType": "Document", "requestStage": "Request"} for way in ways]


def _answer(body: str) -> dict[str, Any]:
    # The site's own policy names a nonce of the day, which a kept document does not have.
    headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
    return {
        "responseCode": 200,
        "responseHeaders": [{"name": name, "value": value} for name, value in headers.items()],
        "body": body,
    }
