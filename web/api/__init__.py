"""The HTTP API: a file for each thing that is asked about."""

from fastapi import APIRouter

from web.here import Here

from . import (
    agent,
    chats,
    commands,
    events,
    history,
    incidents,
    login,
    media,
    messages,
    queues,
    sessions,
    status,
    webhooks,
)

PARTS = (
    status,
    login,
    events,
    commands,
    messages,
    chats,
    media,
    sessions,
    incidents,
    history,
    queues,
    webhooks,
    agent,
)


def routes(here: Here) -> APIRouter:
    """All of /api."""
    router = APIRouter(prefix="/api")
    for part in PARTS:
        router.include_router(part.routes(here))
    return router
