"""One token opens the page and the API: as a bearer, or once as `?token=`, which sets a cookie."""

import hmac
import os
import secrets
from pathlib import Path

from fastapi import HTTPException, Request
from pydantic import SecretStr

COOKIE = "whatsapp_container_token"
_KEPT_IN = "api-token"


def kept_token(given: SecretStr | None, data_dir: Path) -> tuple[str, bool]:
    """The token, and whether it was made just now: API_TOKEN, else one kept under DATA_DIR with mode 0600."""
    if given is not None:
        return given.get_secret_value(), False
    path = data_dir / _KEPT_IN
    try:
        return path.read_text().strip(), False
    except FileNotFoundError:
        token = secrets.token_urlsafe(24)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        return token, True


class TokenGate:
    """A FastAPI dependency: lets a request with the token through, answers 401 to any other."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Request) -> None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = (
            bearer if scheme.lower() == "bearer" else "",
            request.query_params.get("token", ""),
            request.cookies.get(COOKIE, ""),
        )
        if not any(self.fits(token) for token in given):
            raise HTTPException(401, "a token is needed", headers={"WWW-Authenticate": "Bearer"})

    def fits(self, token: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(token.encode(), self._token.encode())
