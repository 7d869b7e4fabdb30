"""GET /api/login: who is asking."""

from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from web.here import Here
from web.tokens import Role


class LoginAnswer(BaseModel):
    """`csrf` is what a browser's session sends as X-CSRF-Token with whatever is not only read; null for a token."""

    role: Literal["view", "act"]
    csrf: str | None


def routes(here: Here) -> APIRouter:
    router = APIRouter(tags=["login"])

    @router.get("/login")
    async def login(request: Request, role: Role = Depends(here.gate.view)) -> LoginAnswer:  # noqa: B008  # FastAPI's form
        known = await here.gate.login_of(request)
        return LoginAnswer(role="act" if role is Role.ACT else "view", csrf=known.csrf if known else None)

    return router
