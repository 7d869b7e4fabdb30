"""Who may do what: a token as bearer, or the session of somebody who logged in with one."""

import asyncio
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

from .logins import Login, Logins
from .problems import Problem, too_many
from .throttle import Guesses, who
from .tokens import Role, Tokens

if TYPE_CHECKING:
    import redis.asyncio

CSRF_HEADER = "X-CSRF-Token"
ASKED_WITHIN_S = 1.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

# For /openapi.json alone: `identify` reads the request itself, before any route is looked for.
_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="API_TOKEN or, for reading, VIEW_TOKEN")
_cookie = APIKeyCookie(
    name="session",
    auto_error=False,
    scheme_name="session",
    description=f"of `/login`; what changes needs {CSRF_HEADER}",
)


@dataclass(frozen=True)
class Gate:
    """`view` and `act` are FastAPI dependencies: they let through who may, and raise Problem for any other."""

    tokens: Tokens
    logins: Logins
    guesses: Guesses
    redis: "redis.asyncio.Redis"
    names: SessionNames

    async def view(
        self,
        request: Request,
        _bearer: Annotated[object, Depends(_bearer)],
        _cookie: Annotated[object, Depends(_cookie)],
    ) -> Role:
        """Whoever may look."""
        return await self._let_through(request, Role.VIEW)

    async def act(
        self,
        request: Request,
        _bearer: Annotated[object, Depends(_bearer)],
        _cookie: Annotated[object, Depends(_cookie)],
    ) -> Role:
        """Whoever may do everything."""
        return await self._let_through(request, Role.ACT)

    async def identify(self, request: Request) -> Role:
        """Who asks, looked at once for each request. Raises Problem for a stranger, and for a forged request."""
        known: Role | None = getattr(request.state, "role", None)
        if known is not None:
            return known
        token = _bearer_of(request)
        if token is not None:
            role = self.by_token(address_of(request), token)
        else:
            login = await self.login_of(request)
            role = login.role if login else None
            if login is not None and request.method not in _SAFE:
                self.check_origin(request, login, request.headers.get(CSRF_HEADER, ""))
        if role is None:
            raise Problem(
                401,
                "unauthorized",
                "a token is needed: API_TOKEN, or what DATA_DIR/api-token holds",
                headers={"WWW-Authenticate": "Bearer"},
            )
        request.state.role = role
        return role

    async def is_known(self, request: Request) -> bool:
        """Whether somebody asks who may look. Never refuses: what is open answers a guesser as it does anybody."""
        try:
            await self.identify(request)
        except Problem:
            return False
        return True

    def by_token(self, address: str, token: str) -> Role | None:
        """The role that a token gives. A wrong one is counted; Problem 429 where the address guessed too often."""
        locked_s = self.guesses.locked_for_s(address)
        if locked_s:
            raise too_many("too many wrong tokens from this address", locked_s)
        role = self.tokens.role_of(token)
        if role is None:
            self.guesses.note_wrong(address)
        elif role is Role.ACT:  # a viewer is not trusted with guessing at the other token
            self.guesses.note_right(address)
        return role

    async def login_of(self, request: Request) -> Login | None:
        """The session of a browser, unless it was closed."""
        login = self.logins.read(request.cookies.get(self.logins.cookie, ""))
        return login if login is not None and await self.is_open(login) else None

    async def is_open(self, login: Login) -> bool:
        """Whether nobody has signed out of it. While Redis is away it counts as open: the page is to say so."""
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                return not await self.redis.exists(self.names.closed_login(login.nonce))
        except Exception as error:
            if not is_outage(error):
                raise
            return True

    async def close(self, login: Login) -> None:
        """From now on its cookie opens nothing, in no process. Raises redis' own errors: then it is open still."""
        await self.redis.set(self.names.closed_login(login.nonce), "1", ex=self.logins.lasts_for_s(login))

    async def _let_through(self, request: Request, wanted: Role) -> Role:
        role = await self.identify(request)
        if role < wanted:
            raise Problem(403, "forbidden", "VIEW_TOKEN is for looking; this needs API_TOKEN")
        return role

    def check_origin(self, request: Request, login: Login, given: str) -> None:
        """Raises Problem where the browser was sent here by another site."""
        is_from_elsewhere = request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
        if is_from_elsewhere or not equal(given, login.csrf):
            raise Problem(403, "forbidden", f"a session needs its {CSRF_HEADER} for what is not only read")


def address_of(request: Request) -> str:
    """By what a caller is counted."""
    return who(request.client.host if request.client else None)


def equal(given: str, wanted: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _bearer_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
