"""The tokens that open page and API: API_TOKEN for everything, VIEW_TOKEN for looking."""

import contextlib
import hmac
import os
import re
import secrets
from enum import IntEnum
from pathlib import Path

from pydantic import SecretStr

_KEPT_IN = "api-token"
_TOKEN = re.compile(r"[!-~]{8,}")


class Role(IntEnum):
    """What somebody may do; each includes the ones before."""

    VIEW = 1  # read everything but what lets a phone be linked
    ACT = 2


class Tokens:
    """Who a token makes of its bearer. Raises ValueError for one that would open to everybody, and where both are the
    same."""

    def __init__(self, api: str, view: str | None = None) -> None:
        if not api or view == "":
            raise ValueError("a token is empty")
        if api == view:
            raise ValueError("VIEW_TOKEN is API_TOKEN: a viewer could do everything")
        self._by_role = {Role.ACT: api} | ({Role.VIEW: view} if view is not None else {})

    def role_of(self, token: str) -> Role | None:
        """Compared in constant time, each of them always. An empty token is nobody's."""
        given = token.encode()
        found = [role for role, known in self._by_role.items() if hmac.compare_digest(given, known.encode())]
        return found[0] if found and token else None

    def key_of(self, role: Role) -> bytes | None:
        """What signs the sessions of a role: other tokens make other keys. None where the role has no token."""
        known = self._by_role.get(role)
        return None if known is None else hmac.digest(known.encode(), f"session of {role.name}".encode(), "sha256")


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
