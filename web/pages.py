"""What a person opens: the status page, and the form that opens it."""

import secrets
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from .auth import address_of, equal
from .here import Here
from .logins import COOKIE, LASTS_S
from .problems import Problem
from .tokens import Role

PAGE = Path(__file__).parent / "page"
LOGIN_COOKIE = "whatsapp_container_login"
_LOGIN_WITHIN_S = 3600
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes(here: Here) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    gate = here.gate

    @router.get("/")
    async def page(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:  # it must not stay in the browser's bar, history or referrer
            role = gate.by_token(address_of(request), token)
            return _form(here, request, "This token opens nothing.") if role is None else _opened(here, request, role)
        login = gate.login_of(request)
        if login is None:
            return _form(here, request, "")
        return _html("index.html", csrf=login.csrf, role=login.role.name.lower(), session=here.settings.session_id)

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
        return _form(here, request, "This token opens nothing.") if role is None else _opened(here, request, role)

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        login = gate.login_of(request)
        if login is not None:
            gate.check_origin(request, login, (await _fields(request)).get("csrf", ""))
            gate.logins.close(login)
        response = RedirectResponse("/", status_code=303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    @router.get("/page/{name:path}")
    async def page_file(name: str) -> Response:
        """Style and script hold nothing secret."""
        file = _files().get(name)
        if file is None:
            raise Problem(404, "not_found", "there is no such file")
        return FileResponse(file, media_type=_TYPES[file.suffix], headers={"Cache-Control": "no-cache"})

    return router


@cache
def _files() -> dict[str, Path]:
    """Those that are there, by their names: nothing else is ever looked for."""
    return {str(file.relative_to(PAGE)): file for file in PAGE.rglob("*") if file.suffix in _TYPES}


def _opened(here: Here, request: Request, role: Role) -> Response:
    cookie, _login = here.gate.logins.open(role)
    response = RedirectResponse("/", status_code=303)
    _set_cookie(response, request, COOKIE, cookie, LASTS_S)
    response.delete_cookie(LOGIN_COOKIE, httponly=True, samesite="strict")
    return response


def _form(
    here: Here, request: Request, said: str, status: int = 401, headers: dict[str, str] | None = None
) -> Response:
    """A program that asks for the page without a token is told so by the code; a person by the form."""
    nonce = secrets.token_urlsafe(16)
    response = _html("login.html", csrf=here.gate.logins.form_token(nonce), said=said)
    response.status_code = status
    response.headers.update({"WWW-Authenticate": "Bearer", **(headers or {})})
    _set_cookie(response, request, LOGIN_COOKIE, nonce, _LOGIN_WITHIN_S)
    return response


def _html(name: str, **values: str) -> Response:
    """A page with its `{{name}}`s filled in: all of them our own tokens and words."""
    text = (PAGE / name).read_text()
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return Response(text, media_type="text/html")


def _set_cookie(response: Response, request: Request, name: str, value: str, max_age_s: int) -> None:
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="strict", secure=secure)


async def _fields(request: Request) -> dict[str, str]:
    body = (await request.body()).decode(errors="replace")
    return {name: values[-1] for name, values in parse_qs(body, max_num_fields=20).items()}
