"""Whether the profile on disk is known to belong to an account."""

from pathlib import Path

from whatsapp_contract.logs import get_logger

log = get_logger(__name__)


class AccountMarker:
    """A file beside the profile: set when the session was ready, cleared when the account was lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def is_set(self) -> bool:
        return self._path.exists()

    def set(self) -> None:
        """A disk that takes nothing is told, and costs no more than the mark."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
        except OSError as error:
            log.error("it could not be marked that the profile has an account", error=str(error))

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)
