"""Files on their way from the page to the store: private, found again after a restart, swept when not needed."""

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

UNFINISHED = ".part"


class Files:
    """One folder of the session's. Names tell nothing of the message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where a message's file lies once it is complete."""
        return self.folder / _name(key)

    def begin(self, key: str) -> Path:
        """Where it is to be written; nothing is there. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._unfinished(key)
        path.unlink(missing_ok=True)
        return path

    def complete(self, key: str) -> None:
        """What was written is all of it. Raises OSError."""
        self._unfinished(key).rename(self.path(key))

    def _unfinished(self, key: str) -> Path:
        return self.folder / f"{_name(key)}{UNFINISHED}"

    def size(self, key: str) -> int | None:
        """None where there is no complete one."""
        try:
            return self.path(key).stat().st_size
        except OSError:
            return None

    def remove(self, key: str) -> None:
        for path in (self.path(key), self._unfinished(key)):
            with contextlib.suppress(OSError):
                path.unlink()

    def sweep(self, keys: Iterable[str]) -> int:
        """Remove all but the complete files of these messages. Answers how many."""
        kept = {_name(key) for key in keys}
        swept = 0
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)
                    swept += 1
        return swept


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]
