"""A logout on purpose that the store has not been told yet."""

from pathlib import Path

from .local_storage import write_private


class ToBury:
    """A file beside the profile, so that the next agent ends the session in the store, should this one not come to it.
    `cause` is the logout's; None where nothing is owed."""

    def __init__(self, session_dir: Path) -> None:
        self._path = session_dir / "to-bury"
        self.cause = self._read()

    def note(self, cause: str) -> None:
        """From now on it is owed."""
        self.cause = cause
        write_private(self._path, cause)

    def forget(self) -> None:
        """It is done, or the account is back."""
        self.cause = None
        self._path.unlink(missing_ok=True)

    def _read(self) -> str | None:
        try:
            return self._path.read_text()
        except OSError:
            return None
