"""Sessions of people at a browser: a signed cookie each, so that they outlive this process, and a token against forged
requests."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from .tokens import Role, Tokens

LASTS_S = 7 * 86_400


@dataclass(frozen=True)
class Login:
    """`csrf` must come with whatever the session does, not only reads."""

    role: Role
    nonce: str
    expires_at: int  # epoch seconds
    csrf: str


class Logins:
    """Issues and reads the cookies. A token that changes ends the sessions that were opened with the former one."""

    def __init__(self, tokens: Tokens, session_id: str, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._session_id = session_id
        self._clock = clock
        # A browser sends a host's cookies to each of its ports: another container's must have another name.
        self.cookie = f"whatsapp_container_{hashlib.sha256(session_id.encode()).hexdigest()[:12]}"

    def open(self, role: Role) -> tuple[str, Login]:
        """A new session, with its cookie's value."""
        expires_at, nonce = int(self._clock()) + LASTS_S, secrets.token_urlsafe(16)
        login = self._login(role, nonce, expires_at)
        return f"{role.name}.{expires_at}.{nonce}.{self._signature(role, nonce, expires_at)}", login

    def read(self, cookie: str) -> Login | None:
        """The session of a cookie; None for one that is forged, over, or closed."""
        parts = cookie.split(".")
        if len(parts) != 4 or parts[0] not in Role.__members__ or not parts[1].isascii() or not parts[1].isdigit():
            return None
        role, expires_at, nonce = Role[parts[0]], int(parts[1][:12]), parts[2]
        if self._tokens.key_of(role) is None or self._clock() >= expires_at:
            return None
        if not hmac.compare_digest(parts[3].encode(), self._signature(role, nonce, expires_at).encode()):
            return None
        return self._login(role, nonce, expires_at)

    def lasts_for_s(self, login: Login) -> int:
        """For how long it must be remembered that it was closed."""
        return max(1, login.expires_at - int(self._clock()))

    def form_token(self, nonce: str) -> str:
        """For the form by which somebody logs in, who has no session yet: fits the nonce that the same browser has as
        a cookie."""
        return self._signed(Role.ACT, f"form {nonce}")

    def _login(self, role: Role, nonce: str, expires_at: int) -> Login:
        return Login(role, nonce, expires_at, self._signed(role, f"csrf {nonce}"))

    def _signature(self, role: Role, nonce: str, expires_at: int) -> str:
        return self._signed(role, f"{role.name}.{expires_at}.{nonce}")

    def _signed(self, role: Role, text: str) -> str:
        key = self._tokens.key_of(role)
        assert key is not None
        return hmac.digest(key, f"{self._session_id} {text}".encode(), "sha256").hex()
