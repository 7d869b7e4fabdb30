"""The HTTP API: a file for each thing that is asked about."""

from fastapi import APIRouter

from web.here import Here

from . import agent, chats, commands, events, history, incidents, login, media, messages, queues, sessions, status


def routes(here: Here) -> APIRouter:
    """All of /api."""
    router = APIRouter(prefix="/api")
    for part in (status, login, events, commands, messages, chats, media, sessions, incidents, history, queues, agent):
        router.include_router(part.routes(here))
    return router
