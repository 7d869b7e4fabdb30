"""What a person opens: the status page, and the form that opens it."""

import asyncio
import gzip
import json
import secrets
from datetime import UTC, datetime
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from . import page_files
from .auth import address_of, equal
from .here import Here
from .logins import LASTS_S
from .problems import Problem
from .tokens import Role

LOGIN_COOKIE = "whatsapp_container_login"
_LOGIN_WITHIN_S = 3600
# The page comes without the state where it would have to wait for it, and then asks for it itself.
_STATE_WITHIN_S = 0.3


def is_open(path: str) -> bool:
    """What asks for a token itself, or needs none: the page, its form, style and script."""
    return path in ("/", "/login", "/logout", "/docs") or path.startswith("/page/")


def routes(here: Here) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    gate = here.gate

    @router.get("/")
    async def page(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:  # it must not stay in the browser's bar, history or referrer
            role = gate.by_token(address_of(request), token)
            if role is None:
                return _form(here, request, "This token opens nothing.")
            # No redirect: a browser that comes from another site's link would not send the cookie along.
            return _with_session(here, request, role, _html(request, "opened.html"))
        login = await gate.login_of(request)
        if login is None:
            return _form(here, request, "")
        return _html(
            request,
            "index.html",
            csrf=login.csrf,
            role=login.role.name.lower(),
            session=here.settings.session_id,
            first=await _first(here),
        )

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        given = await _fields(request)
        nonce = request.cookies.get(LOGIN_COOKIE, "")
        if not nonce or not equal(given.get("csrf", ""), gate.logins.form_token(nonce)):
            return _form(here, request, "The form was too old. Try again.", status=403)
        try:
            role = gate.by_token(address_of(request), given.get("token", "").strip())
        except Problem as problem:
            wait = problem.headers.get("Retry-After", "")
            return _form(
                here, request, f"Too many wrong tokens. Try again in {wait} s.", status=429, headers=problem.headers
            )
        if role is None:
            return _form(here, request, "This token opens nothing.")
        return _with_session(here, request, role, RedirectResponse("/", status_code=303))

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        login = await gate.login_of(request)
        if login is not None:
            gate.check_origin(request, login, (await _fields(request)).get("csrf", ""))
            await gate.close(login)
        response = RedirectResponse("/", status_code=303)
        response.delete_cookie(gate.logins.cookie, httponly=True, samesite="strict")
        return response

    @router.get("/page/{name:path}")
    async def page_file(request: Request, name: str) -> Response:
        """Style and script hold nothing secret."""
        return page_files.answer(request, name)

    return router


async def _first(here: Here) -> str:
    """What the page shows before it has asked for anything: the status and the time here, as JSON that no `<` ends."""
    try:
        async with asyncio.timeout(_STATE_WITHIN_S):
            status = await here.status_as_json()
    except TimeoutError:
        status = "null"
    now = json.dumps(datetime.now(UTC).isoformat())
    return f'{{"now": {now}, "status": {status}}}'.replace("<", "\\u003c")


def _with_session(here: Here, request: Request, role: Role, response: Response) -> Response:
    cookie, _login = here.gate.logins.open(role)
    _set_cookie(response, request, here.gate.logins.cookie, cookie, LASTS_S)
    response.delete_cookie(LOGIN_COOKIE, httponly=True, samesite="strict")
    return response


def _form(
    here: Here, request: Request, said: str, status: int = 401, headers: dict[str, str] | None = None
) -> Response:
    """A program that asks for the page without a token is told so by the code; a person by the form."""
    nonce = secrets.token_urlsafe(16)
    response = _html(request, "login.html", csrf=here.gate.logins.form_token(nonce), said=said)
    response.status_code = status
    response.headers.update({"WWW-Authenticate": "Bearer", **(headers or {})})
    _set_cookie(response, request, LOGIN_COOKIE, nonce, _LOGIN_WITHIN_S)
    return response


def _html(request: Request, name: str, **values: str) -> Response:
    """A page with its `{{name}}`s filled in: all of them our own tokens and words."""
    text = (page_files.PAGE / name).read_text()
    for key, value in {"version": page_files.version(), **values}.items():
        text = text.replace("{{" + key + "}}", value)
    return page_files.packed_or_not(request, gzip.compress(text.encode(), 6), "text/html", {})


def _set_cookie(response: Response, request: Request, name: str, value: str, max_age_s: int) -> None:
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="strict", secure=secure)


async def _fields(request: Request) -> dict[str, str]:
    """Of a form; none where it is none."""
    body = (await request.body()).decode(errors="replace")
    try:
        return {name: values[-1] for name, values in parse_qs(body, max_num_fields=20).items()}
    except ValueError:
        return {}
