"""One token opens the page and the API: as a bearer, or once as `?token=`, which sets a cookie."""

import contextlib
import hmac
import os
import re
import secrets
from pathlib import Path

from fastapi import HTTPException, Request
from pydantic import SecretStr

COOKIE = "whatsapp_container_token"
_KEPT_IN = "api-token"
_TOKEN = re.compile(r"[!-~]{8,}")


def kept_token(given: SecretStr | None, data_dir: Path) -> tuple[str, bool]:
    """The token, and whether it was made just now: API_TOKEN, else one kept under DATA_DIR with mode 0600.

    A file that holds no token, as a full disk or a crash may leave it, is written anew.
    """
    if given is not None:
        return given.get_secret_value(), False
    path = data_dir / _KEPT_IN
    kept = path.read_text(errors="replace").strip() if path.exists() else ""
    if _TOKEN.fullmatch(kept):
        return kept, False
    token = secrets.token_urlsafe(24)
    with contextlib.suppress(OSError):  # a full disk: the token holds for this life of the process, which tells it
        _write_whole(path, token + "\n")
    return token, True


def _write_whole(path: Path, text: str) -> None:
    """All of it or nothing, whenever the machine stops. For its owner alone."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


class TokenGate:
    """A FastAPI dependency: lets a request with the token through, answers 401 to any other.

    Raises ValueError for a token that would open to everybody.
    """

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("the token is empty")
        self._token = token

    def __call__(self, request: Request) -> None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = (
            bearer if scheme.lower() == "bearer" else "",
            request.query_params.get("token", ""),
            request.cookies.get(COOKIE, ""),
        )
        if not any(self.fits(token) for token in given):
            raise HTTPException(
                401,
                "a token is needed: API_TOKEN, or what DATA_DIR/api-token holds",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def fits(self, token: str) -> bool:
        """Compared in constant time. An empty one never fits."""
        return bool(token) and hmac.compare_digest(token.encode(), self._token.encode())
