"""The web process: page, API, health, metrics. Reads Redis only, and answers while it is away too."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.middleware.gzip import GZipMiddleware

from whatsapp_contract.commands import MAX_COMMAND_BYTES
from whatsapp_contract.settings import Settings

from . import api, guards, health, metrics, openapi, pages, problems
from .auth import Gate
from .here import Here
from .logins import Logins
from .throttle import Guesses, RateLimit
from .tokens import Tokens

if TYPE_CHECKING:
    import redis.asyncio

PACKED_FROM_BYTES = 1024
REQUESTS_PER_S, BURST = 100.0, 300.0
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


def create_app(settings: Settings, redis: "redis.asyncio.Redis", token: str) -> FastAPI:
    """Raises ValueError for tokens that would open to everybody."""
    view_token = settings.view_token.get_secret_value() if settings.view_token else None
    tokens = Tokens(token, view_token)
    here = Here.of(settings, redis, Gate(tokens, Logins(tokens), Guesses()))
    app = FastAPI(title="WhatsApp container", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    app.include_router(api.routes(here))
    app.include_router(_for_engines(here))
    app.include_router(pages.routes(here))
    openapi.install(app, here)
    # The last one added is the first to see a request.
    app.add_middleware(GZipMiddleware, minimum_size=PACKED_FROM_BYTES, compresslevel=5)  # server-sent events pass
    app.add_middleware(guards.BodyLimit, most_bytes=MAX_COMMAND_BYTES)
    app.add_middleware(guards.AskedTooOften, limit=RateLimit(REQUESTS_PER_S, BURST), free=HEALTH_PATHS)
    app.add_middleware(guards.SecurityHeaders)
    return app


def _for_engines(here: Here) -> APIRouter:
    """What container engines and Prometheus ask for."""
    router = APIRouter(tags=["health"])
    settings, reader, started = here.settings, here.reader, time.monotonic()

    @router.get("/healthz", responses={503: {"description": "It is not."}})
    async def healthz() -> Response:
        """Whether this container does its work, in one word; without a token."""
        status, trouble = await reader.status()
        aside = await reader.stands_aside(status)
        uptime_s, now = time.monotonic() - started, datetime.now(UTC)
        return _answer(health.alive(status, trouble, settings.instance_id, uptime_s, now, aside=aside))

    @router.get("/readyz", responses={503: {"description": "They cannot."}})
    async def readyz() -> Response:
        """Whether messages can flow through this container, in one word; without a token."""
        status, trouble = await reader.status()
        aside = await reader.stands_aside(status)
        return _answer(health.ready(status, trouble, datetime.now(UTC), aside=aside))

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
        dependencies=[Depends(here.gate.view)],
    )
    async def metrics_() -> Response:
        """For Prometheus."""
        status, _trouble_of_status = await reader.status()
        text = metrics.exposition(status, await reader.counts(), datetime.now(UTC))
        return Response(text, media_type=metrics.CONTENT_TYPE)

    return router


def _answer(answer: health.Answer) -> Response:
    return JSONResponse({"status": answer.status}, status_code=answer.code)
