"""The routes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis.asyncio
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from redis.exceptions import ResponseError

from whatsapp_contract import qr
from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.events import QrOnShow
from whatsapp_contract.health import Limits, verdict
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.settings import Settings
from whatsapp_contract.status import Status

from . import health, metrics
from .auth import COOKIE, TokenGate
from .own_memory import OwnMemory

PAGE = Path(__file__).parent / "page"
_COOKIE_KEPT_S = 30 * 86_400
# Container engines ask with a deadline of their own: a Redis that is frozen must not look like a web that is.
REDIS_WITHIN_S = 1.5
REDIS_AWAY, UNREADABLE = "redis_away", "status_unreadable"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def create_app(settings: Settings, redis: "redis.asyncio.Redis", token: str) -> FastAPI:
    """Reads Redis only, and answers while it is away too."""
    app = FastAPI(title="WhatsApp container", docs_url=None, redoc_url=None, openapi_url=None)
    gate = TokenGate(token)
    closed = [Depends(gate)]
    client = AsyncAgentClient(redis, settings.session_id)
    started = time.monotonic()
    own_memory = OwnMemory()

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/healthz")
    async def healthz() -> Response:
        status, trouble = await _status(client)
        aside = await _stands_aside(client, settings, status)
        uptime_s, now = time.monotonic() - started, datetime.now(UTC)
        return _answer(health.alive(status, trouble, settings.instance_id, uptime_s, now, aside=aside))

    @app.get("/readyz")
    async def readyz() -> Response:
        status, trouble = await _status(client)
        aside = await _stands_aside(client, settings, status)
        return _answer(health.ready(status, trouble, datetime.now(UTC), aside=aside))

    @app.get("/api/status", dependencies=closed)
    async def api_status() -> Response:
        return JSONResponse(await _described(client, *await _status(client)))

    @app.get("/metrics", dependencies=closed)
    async def metrics_() -> Response:
        status, _trouble_of_status = await _status(client)
        counts = await _counts(client, settings)
        memory = await asyncio.to_thread(own_memory.read)
        text = metrics.exposition(status, counts, datetime.now(UTC), memory)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    @app.get("/qr.png", dependencies=closed)
    async def qr_png() -> Response:
        shown = await _qr_on_show(client)
        if shown is None:
            return JSONResponse({"error": "no QR code is on show"}, status_code=404)
        return Response(qr.as_png(shown.payload), media_type="image/png")

    @app.get("/", dependencies=closed)
    async def page(request: Request) -> Response:
        if "token" not in request.query_params:
            return FileResponse(PAGE / "index.html")
        # The address with the token must not stay in the browser's bar, history or referrer.
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(COOKIE, token, max_age=_COOKIE_KEPT_S, httponly=True, samesite="strict")
        return response

    @app.get("/page/{name}")
    async def page_file(name: str) -> Response:
        """Style and script hold nothing secret."""
        if name not in ("status.css", "status.js"):
            return JSONResponse({"error": "not found"}, status_code=404)
        return FileResponse(PAGE / name)

    return app


async def _status(client: AsyncAgentClient) -> tuple[Status | None, str | None]:
    """The agent's status, and why it cannot be read."""
    try:
        async with asyncio.timeout(REDIS_WITHIN_S):
            return await client.status(), None
    except Exception as error:
        return None, _trouble(error)


async def _counts(client: AsyncAgentClient, settings: Settings) -> metrics.Counts | None:
    try:
        async with asyncio.timeout(REDIS_WITHIN_S):
            return await metrics.counted(client.redis, client.names, settings.instance_names)
    except Exception as error:
        _trouble(error)
        return None


async def _stands_aside(client: AsyncAgentClient, settings: Settings, status: Status | None) -> bool:
    """Whether this container's agent lives and says that another holds the session."""
    if status is None or status.instance == settings.instance_id:
        return False
    try:
        async with asyncio.timeout(REDIS_WITHIN_S - 1.0):
            return bool(await client.redis.exists(settings.instance_names.aside))
    except Exception as error:
        _trouble(error)
        return False


async def _qr_on_show(client: AsyncAgentClient) -> QrOnShow | None:
    try:
        async with asyncio.timeout(REDIS_WITHIN_S):
            kept: Any = await client.redis.get(client.names.qr)
        return QrOnShow.model_validate_json(kept) if kept else None
    except Exception as error:
        _trouble(error)
        return None


def _trouble(error: Exception) -> str:
    """What keeps a key from being read: Redis, or what somebody else has written there. Raises what is a bug."""
    if isinstance(error, (ValueError, ResponseError)):
        return UNREADABLE
    if not is_outage(error):
        raise error
    return REDIS_AWAY


async def _described(client: AsyncAgentClient, status: Status | None, trouble: str | None) -> dict[str, Any]:
    """The status with what a reader would have to reckon: ages, a verdict of now, whether a QR is on show."""
    now = datetime.now(UTC)
    redis_up = trouble != REDIS_AWAY
    if status is None:
        return {"redis": redis_up, "agent": None, "qr": None}
    assessment = verdict(status.facts, Limits(), now)
    shown = await _qr_on_show(client)
    return {
        "redis": redis_up,
        "agent": {
            **status.model_dump(mode="json"),
            "verdict": assessment.verdict.value,
            "verdict_reason": assessment.reason,
            "heartbeat_age_s": round(status.age_s(now), 1),
        },
        "qr": shown.model_dump(mode="json", include={"sequence", "expires_at"}) if shown else None,
    }


def _answer(answer: health.Answer) -> Response:
    return JSONResponse({"status": answer.status}, status_code=answer.code)
