"""The web process: page, API, health, metrics. Reads Redis only, and answers while it is away too."""

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.gzip import GZipMiddleware

from whatsapp_contract.commands import MAX_COMMAND_BYTES
from whatsapp_contract.settings import Settings

from . import api, guards, health, metrics, openapi, pages, problems
from .auth import Gate
from .here import Here
from .logins import Logins
from .own_memory import OwnMemory
from .throttle import Guesses, RateLimit
from .tokens import Tokens

if TYPE_CHECKING:
    import redis.asyncio

PACKED_FROM_BYTES = 1024
BURST_S = 3.0  # for how long an address may ask as often as it likes, after a pause
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


def create_app(
    settings: Settings, redis: "redis.asyncio.Redis", token: str, own_redis: "redis.asyncio.Redis | None" = None
) -> FastAPI:
    """Raises ValueError for tokens that would open to everybody. `own_redis` serves health, status and logins."""
    view_token = settings.view_token.get_secret_value() if settings.view_token else None
    tokens = Tokens(token, view_token)
    own = own_redis or redis
    gate = Gate(tokens, Logins(tokens, settings.session_id), Guesses(), own, settings.names)
    here = Here.of(settings, redis, gate, own)
    app = FastAPI(title="WhatsApp container", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    app.include_router(api.routes(here))
    app.include_router(_for_engines(here))
    app.include_router(pages.routes(here))
    openapi.install(app, here)
    # The last one added is the first to see a request.
    app.add_middleware(GZipMiddleware, minimum_size=PACKED_FROM_BYTES, compresslevel=5)  # server-sent events pass
    app.add_middleware(guards.BodyLimit, most_bytes=MAX_COMMAND_BYTES)
    app.add_middleware(guards.ClosedToStrangers, gate=gate, is_open=_is_open)
    app.add_middleware(
        guards.AskedTooOften,
        limit=RateLimit(settings.api_rate, max(1.0, BURST_S * settings.api_rate)),
        free=HEALTH_PATHS,
    )
    app.add_middleware(guards.SecurityHeaders)
    return app


def _is_open(path: str) -> bool:
    return path in HEALTH_PATHS or pages.is_open(path)


def _for_engines(here: Here) -> APIRouter:
    """What container engines and Prometheus ask for."""
    router = APIRouter(tags=["health"])
    settings, reader, started = here.settings, here.reader, time.monotonic()
    own_memory = OwnMemory()

    async def shown(request: Request, answer: health.Answer, yes: str, no: str) -> Response:
        word = answer.status if await here.gate.is_known(request) else answer.shown(yes, no)
        return JSONResponse({"status": word}, status_code=answer.code)

    @router.get("/healthz", responses={503: {"description": "It is not."}})
    async def healthz(request: Request) -> Response:
        """Whether this container does its work, for everybody; with a token also why."""
        status, trouble = await reader.status()
        aside = await reader.stands_aside(status)
        uptime_s, now = time.monotonic() - started, datetime.now(UTC)
        answer = health.alive(status, trouble, settings.instance_id, uptime_s, now, aside=aside)
        return await shown(request, answer, "ok", "not_ok")

    @router.get("/readyz", responses={503: {"description": "They cannot."}})
    async def readyz(request: Request) -> Response:
        """Whether messages can flow through this container, for everybody; with a token also why not."""
        status, trouble = await reader.status()
        aside = await reader.stands_aside(status)
        return await shown(
            request, health.ready(status, trouble, datetime.now(UTC), aside=aside), "ready", "not_ready"
        )

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
        dependencies=[Depends(here.gate.view)],
    )
    async def metrics_() -> Response:
        """For Prometheus."""
        status, _trouble_of_status = await reader.status()
        counts, memory = await reader.counts(), await asyncio.to_thread(own_memory.read)
        text = metrics.exposition(status, counts, datetime.now(UTC), memory)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    return router
