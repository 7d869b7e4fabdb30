"""pyppeteer made safe for months, and every call of it given a deadline.

Unpatched, pyppeteer 2.0 loses its DevTools connection in silence when an event handler raises, when a reply comes
after its caller gave up, or when a binding's payload is not its own JSON; later calls then hang for ever. Calls into
a crashed page hang too. Here a handler's error is logged, a late reply is dropped, a crash fails what waits for the
page at once, and a lost connection fails everything that waits.

Sessions are flat (one JSON document per message, not one wrapped in another) and the connection is uncompressed,
which is several times faster.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import pyppeteer.launcher
from pyee import EventEmitter
from pyppeteer.browser import Browser
from pyppeteer.connection import CDPSession, Connection
from pyppeteer.errors import NetworkError, PyppeteerError

from whatsapp_contract.errors import BrowserGone, ContractError, Internal, NotReady, PageCrashed, PageTimeout
from whatsapp_contract.logs import get_logger

from .websocket import WebSocket

log = get_logger(__name__)

Params = dict[str, Any]

_FRAME_RECEIVED = '{"method":"Network.webSocketFrameReceived"'
_SOCKET_OF_FRAME = re.compile(r'[^}]{0,20}"requestId":"([^"]*)"')
_FRAME_SENT = '{"method":"Network.webSocketFrameSent"'

# What Chromium says when a call meets a page that is just going to another document.
_BETWEEN_DOCUMENTS = ("navigated or closed", "Cannot find context", "context was destroyed", "Cannot find default")


class ChromiumRefused(Internal):
    """Chromium answered a call with an error: the call was wrong, or came at a wrong time."""


class _GuardedEmitter(EventEmitter):
    """One handler's error neither reaches the connection nor keeps the event from the next handler."""

    def _emit_run(self, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._guarded(handler, *args, **kwargs)

    def _guarded(self, handler: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        try:
            handler(*args, **kwargs)
        except Exception:
            log.exception("a DevTools event handler failed", handler=getattr(handler, "__qualname__", "?"))


class CdpConnection(_GuardedEmitter, Connection):  # type: ignore[misc]  # pyppeteer is untyped
    """pyppeteer's Connection, safe. Made by `connect`, on whose event loop it stays."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, delay: int = 0) -> None:
        EventEmitter.__init__(self)
        self._url = url
        self._loop = loop
        self._delay = delay
        self._lastId = 0
        self._callbacks: dict[int, asyncio.Future[Any]] = {}
        self._sessions: dict[str, CdpSession] = {}
        self._closeCallback: Callable[[], None] | None = None
        self._websocket: WebSocket | None = None
        self._unsent: list[str] = []  # until the connection is open
        self.closed = asyncio.Event()
        self.last_message_at: float | None = None  # loop time of the last message from Chromium
        self.on_frame: Callable[[str], None] = lambda _socket: None  # a page's or worker's WebSocket received a frame
        self._opening = loop.create_task(self._open())

    # -- what pyppeteer calls ----------------------------------------------------------------------------------

    def send(self, method: str, params: Params | None = None) -> "asyncio.Future[Any]":
        """A future of the method's result. Fails with BrowserGone when the connection is, or gets, lost."""
        return self._transmit(self._callbacks, {"method": method, "params": params or {}})

    async def createSession(self, targetInfo: Params) -> "CdpSession":  # noqa: N802, N803  # pyppeteer's names
        """Attach to a target. The session exists from its attachedToTarget event on, so that no event is lost."""
        attached = await self.send("Target.attachToTarget", {"targetId": targetInfo["targetId"], "flatten": True})
        return self._sessions[attached["sessionId"]]

    async def dispose(self) -> None:
        """Close the connection. What waits fails with BrowserGone."""
        self._opening.cancel()
        if self._websocket is not None:
            self._websocket.abort()
        self._on_lost()

    # -- ours --------------------------------------------------------------------------------------------------

    async def call(self, method: str, params: Params | None = None, *, within_s: float) -> Params:
        """A browser-level method's result. Raises BrowserGone, also without an answer in time, and ChromiumRefused."""
        try:
            return await _within(self.send(method, params), method, within_s)
        except PageTimeout as error:
            raise BrowserGone(str(error)) from None
        except NetworkError as error:
            raise ChromiumRefused(str(error)) from None

    def _transmit(self, callbacks: dict[int, asyncio.Future[Any]], message: Params) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        if self.closed.is_set():
            return _failed(future, BrowserGone("the DevTools connection is closed"))
        self._lastId += 1
        callbacks[self._lastId] = future
        future.method = message["method"]  # type: ignore[attr-defined]  # for the error's text
        text = json.dumps({"id": self._lastId, **message})
        if self._websocket is None:
            self._unsent.append(text)
        else:
            self._websocket.send(text)
        return future

    async def _open(self) -> None:
        try:
            self._websocket = await WebSocket.open(self._url, self._on_text, self._on_lost)
        except OSError as error:
            log.debug("no DevTools connection", error=str(error))
            self._on_lost()
            return
        for text in self._unsent:
            self._websocket.send(text)
        self._unsent.clear()

    def _on_text(self, text: str) -> None:
        """Nothing that a message holds, or sets off, may cost the connection."""
        self.last_message_at = self._loop.time()
        self._guarded(self._on_raw, text)

    def _on_raw(self, raw: str) -> None:
        # A frame carries what the server sent, which may be megabytes; only that it came is of use, so it is not read.
        if raw.startswith(_FRAME_RECEIVED):
            socket = _SOCKET_OF_FRAME.match(raw, len(_FRAME_RECEIVED))
            self._guarded(self.on_frame, socket.group(1) if socket else "")
            return
        if raw.startswith(_FRAME_SENT):
            return
        message = json.loads(raw)
        session_id = message.get("sessionId")
        if session_id is not None:
            session = self._sessions.get(session_id)
            if session is not None:
                session._on_message(message)
        elif "id" in message:
            _settle(self._callbacks.pop(message["id"], None), message)
        else:
            self._on_event(message["method"], message.get("params", {}))
            self.emit(message["method"], message.get("params", {}))

    def _on_event(self, method: str, params: Params) -> None:
        """What has to be known before any handler runs: which sessions there are."""
        if method == "Target.attachedToTarget":
            session_id = params["sessionId"]
            self._sessions[session_id] = CdpSession(self, params["targetInfo"]["type"], session_id, self._loop)
        elif method == "Target.detachedFromTarget":
            session = self._sessions.pop(params["sessionId"], None)
            if session is not None:
                session._on_closed()

    def _on_lost(self) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        _fail_all(self._callbacks, BrowserGone("the DevTools connection was lost"))
        for session in list(self._sessions.values()):
            session._on_closed()
        self._sessions.clear()
        if self._closeCallback is not None:
            self._guarded(self._closeCallback)


class CdpSession(_GuardedEmitter, CDPSession):  # type: ignore[misc]  # pyppeteer is untyped
    """pyppeteer's CDPSession, safe and flat. One per page or worker."""

    def __init__(
        self, connection: CdpConnection, target_type: str, session_id: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        EventEmitter.__init__(self)
        self._connection: CdpConnection | None = connection
        self._targetType = target_type
        self._sessionId = session_id
        self._callbacks: dict[int, asyncio.Future[Any]] = {}
        self._loop = loop
        self._crashed = False
        self.on_binding: Callable[[str, str], None] | None = None  # our own bindings: (name, payload)

    # -- what pyppeteer calls ----------------------------------------------------------------------------------

    def send(self, method: str, params: Params | None = None) -> "asyncio.Future[Any]":
        """A future of the method's result."""
        if self._connection is None:
            return _failed(self._loop.create_future(), BrowserGone(f"{self._targetType} is closed"))
        if method == "Target.setAutoAttach":
            params = {**(params or {}), "flatten": True}  # pyppeteer asks for nested sessions
        message = {"sessionId": self._sessionId, "method": method, "params": params or {}}
        return self._connection._transmit(self._callbacks, message)

    def _createSession(self, targetType: str, sessionId: str) -> "CdpSession":  # noqa: N802, N803  # pyppeteer's names
        """pyppeteer's page asks for the session of a worker that was attached to it."""
        if self._connection is None:
            raise NetworkError("the page is closed")
        return self._connection._sessions[sessionId]

    # -- ours --------------------------------------------------------------------------------------------------

    async def call(self, method: str, params: Params | None = None, *, within_s: float) -> Params:
        """The method's result.

        Raises PageTimeout without an answer in time, PageCrashed when the page's process is or gets lost,
        BrowserGone without a connection, NotReady while the page goes to another document, and ChromiumRefused
        when Chromium answers with an error.
        """
        if self._crashed and method.startswith("Runtime."):
            raise PageCrashed("the page has crashed")
        try:
            return await _within(self.send(method, params), method, within_s)
        except NetworkError as error:
            if any(sign in str(error) for sign in _BETWEEN_DOCUMENTS):
                raise NotReady("the page is changing documents") from None
            raise ChromiumRefused(str(error)) from None

    def _on_message(self, message: Params) -> None:
        if "id" in message:
            _settle(self._callbacks.pop(message["id"], None), message)
            return
        method, params = message["method"], message.get("params", {})
        if method == "Runtime.bindingCalled":
            # Not for pyppeteer, which takes every payload for one of its own and raises.
            if self.on_binding is not None:
                self._guarded(self.on_binding, params["name"], params["payload"])
            return
        if method == "Inspector.targetCrashed":
            self._crashed = True
            _fail_all(self._callbacks, PageCrashed("the page has crashed"))
        elif method in ("Inspector.targetReloadedAfterCrash", "Runtime.executionContextCreated"):
            self._crashed = False
        elif self._connection is not None:
            self._connection._on_event(method, params)
        self.emit(method, params)

    def _on_closed(self) -> None:
        self._connection = None
        _fail_all(self._callbacks, BrowserGone(f"{self._targetType} is closed"))


# pyppeteer.connect builds its connection by this name: the one seam it has.
pyppeteer.launcher.Connection = CdpConnection


async def connect(endpoint: str, *, within_s: float) -> Browser:
    """pyppeteer's Browser over a safe connection. Raises BrowserGone when it cannot be had in time."""
    with _pyppeteer_errors("connecting"):
        async with asyncio.timeout(within_s):
            return await pyppeteer.launcher.connect(browserWSEndpoint=endpoint, defaultViewport=None)


async def first_tab(browser: Browser, *, within_s: float) -> CdpSession:
    """The session of the tab that the browser started with. Raises BrowserGone when it cannot be had in time."""
    with _pyppeteer_errors("looking for the first tab"):
        async with asyncio.timeout(within_s):
            tab = (await browser.pages())[0]
    tab.on("error", lambda _error: None)  # pyee raises an `error` that nobody listens to
    return cast(CdpSession, tab._client)


def connection_of(browser: Browser) -> CdpConnection:
    """The connection under a Browser made by `connect`."""
    return cast(CdpConnection, browser._connection)


@contextlib.contextmanager
def _pyppeteer_errors(doing: str) -> Iterator[None]:
    """Chromium is just coming up, or just going: what pyppeteer makes of that is its own affair."""
    try:
        yield
    except (TimeoutError, PyppeteerError, LookupError) as error:
        raise BrowserGone(f"{doing} failed: {error!r}") from error


async def _within(future: "asyncio.Future[Any]", method: str, within_s: float) -> Params:
    try:
        async with asyncio.timeout(within_s):
            return cast(Params, await future)
    except TimeoutError:
        raise PageTimeout(f"{method} was not answered within {within_s:g} s") from None


def _settle(future: "asyncio.Future[Any] | None", message: Params) -> None:
    """A reply whose caller gave up is dropped."""
    if future is None or future.done():
        return
    error = message.get("error")
    if error is None:
        future.set_result(message.get("result"))
    else:
        method = getattr(future, "method", "?")
        _failed(future, NetworkError(f"Protocol error ({method}): {error.get('message')} {error.get('data', '')}"))


def _fail_all(callbacks: dict[int, "asyncio.Future[Any]"], error: ContractError) -> None:
    for future in callbacks.values():
        if not future.done():
            _failed(future, type(error)(str(error)))
    callbacks.clear()


def _failed(future: "asyncio.Future[Any]", error: Exception) -> "asyncio.Future[Any]":
    future.set_exception(error)
    future.exception()  # retrieved: a caller that gave up, or never waited, is no reason for a warning
    return future
