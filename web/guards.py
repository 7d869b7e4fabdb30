"""What stands before every request: security headers, the rate limit, the size of a body. Plain ASGI, so that streams
pass through."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request

from .auth import Gate
from .problems import Problem, too_many
from .throttle import RateLimit, who

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Swagger UI sets styles of its own.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
BODY_WITHIN_S = 10.0
FORMS = frozenset({"/login", "/logout"})
FORM_BYTES = 4096
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Of what may be a document; on each of a page's scripts they would be a third of its weight.
_NO_DOCUMENTS = ("text/css", "text/javascript")
DOCUMENT_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": POLICY,
}


class SecurityHeaders:
    """Adds what an answer does not say itself."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_document = not headers.get("Content-Type", "").startswith(_NO_DOCUMENTS)
                for name, value in (HEADERS | DOCUMENT_HEADERS if is_document else HEADERS).items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class AskedTooOften:
    """Answers 429 where an address asks more often than it may. Health is answered always: an engine must not think
    us dead since somebody else is greedy."""

    def __init__(self, app: App, limit: RateLimit, free: frozenset[str]) -> None:
        self._app = app
        self._limit = limit
        self._free = free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._free:
            wait_s = self._limit.wait_s(who((scope.get("client") or [None])[0]))
            if wait_s:
                await too_many("more requests than one address may make", wait_s).response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class ClosedToStrangers:
    """Answers 401 to whoever has neither token nor session, before anything of the request is looked at: what is there
    and what is not is nobody else's, and a stranger's body is not read."""

    def __init__(self, app: App, gate: Gate, is_open: Callable[[str], bool]) -> None:
        self._app = app
        self._gate = gate
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope["path"]):
            try:
                await self._gate.identify(Request(scope))
            except Problem as problem:
                problem.headers["Connection"] = "close"
                await problem.response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Answers 413 to a body that is larger, whether its size is told before or not, and 408 to one that does not come.
    That of a form is small."""

    def __init__(self, app: App, most_bytes: int) -> None:
        self._app = app
        self._most_of_others = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most_bytes = FORM_BYTES if scope["path"] in FORMS else self._most_of_others
        told = Headers(scope=scope).get("content-length", "0")
        if told.isdigit() and int(told) > most_bytes:
            await Problem(413, "too_large", _too_large(most_bytes)).response(scope, receive, send)
            return
        read_bytes, is_whole = 0, False
        deadline = asyncio.get_running_loop().time() + BODY_WITHIN_S

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read_bytes, is_whole
            if is_whole:  # then it waits for the client's leaving
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"a body is waited for for {BODY_WITHIN_S:g} s") from None
            read_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if read_bytes > most_bytes:
                # FastAPI makes a 400 of any other error while it reads a body.
                raise HTTPException(413, _too_large(most_bytes))
            return message

        await self._app(scope, counted, send)


def _too_large(most_bytes: int) -> str:
    return f"a body has at most {most_bytes} bytes"
