"""Who may do what: a token as bearer, or the session of somebody who logged in with one."""

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from .logins import COOKIE, Login, Logins
from .problems import Problem, too_many
from .throttle import Guesses, who
from .tokens import Role, Tokens

CSRF_HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="API_TOKEN or, for reading, VIEW_TOKEN")
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="session", description=f"of `/login`; what changes needs {CSRF_HEADER}"
)


@dataclass(frozen=True)
class Gate:
    """`view` and `act` are FastAPI dependencies: they let through who may, and raise Problem for any other."""

    tokens: Tokens
    logins: Logins
    guesses: Guesses

    def view(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        cookie: Annotated[str | None, Depends(_cookie)],
    ) -> Role:
        """Whoever may look."""
        return self._let_through(request, Role.VIEW, bearer.credentials if bearer else None, cookie)

    def act(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        cookie: Annotated[str | None, Depends(_cookie)],
    ) -> Role:
        """Whoever may do everything."""
        return self._let_through(request, Role.ACT, bearer.credentials if bearer else None, cookie)

    def is_known(self, request: Request) -> bool:
        """Whether somebody asks who may look. Never refuses: what is open answers a guesser as it does anybody."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self.login_of(request) is not None
        try:
            return self.by_token(address_of(request), token.strip()) is not None
        except Problem:
            return False

    def by_token(self, address: str, token: str) -> Role | None:
        """The role that a token gives. A wrong one is counted; Problem 429 where the address guessed too often."""
        locked_s = self.guesses.locked_for_s(address)
        if locked_s:
            raise too_many("too many wrong tokens from this address", locked_s)
        role = self.tokens.role_of(token)
        if role is None:
            self.guesses.note_wrong(address)
        else:
            self.guesses.note_right(address)
        return role

    def login_of(self, request: Request) -> Login | None:
        """The session of a browser."""
        return self.logins.read(request.cookies.get(COOKIE, ""))

    def _let_through(self, request: Request, wanted: Role, token: str | None, cookie: str | None) -> Role:
        if token is not None:
            role = self.by_token(address_of(request), token)
        else:
            login = self.logins.read(cookie or "")
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
    return hmac.compare_digest(given.encode(), wanted.encode())
