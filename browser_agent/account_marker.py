"""Whether the profile on disk is known to belong to an account."""

from pathlib import Path


class AccountMarker:
    """A file beside the profile: set when the session was ready, cleared when the account was lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def is_set(self) -> bool:
        return self._path.exists()

    def set(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
