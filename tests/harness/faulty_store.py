"""A store that fails at a call of the test's choice: before it is carried out, or after, with the answer lost."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.errors import Conflict, StoreUnavailable
from browser_agent.session.store import Document

Hook = Callable[[], None]


def nothing() -> None:
    pass


class FaultyStore:
    """A DirectoryStore. `before` and `after` are called around call number `at` (from 1), and may raise."""

    def __init__(self, root: Path, *, at: int = 0, before: Hook = nothing, after: Hook = nothing) -> None:
        self.location = str(root)
        self.calls: list[str] = []
        self._store = DirectoryStore(root)
        self._at, self._before, self._after = at, before, after

    def read(self, key: str) -> Document | None:
        with self._call("read"):
            return self._store.read(key)

    def write(self, key: str, data: bytes, *, replacing: str | None) -> str:
        with self._call("write"):
            return self._store.write(key, data, replacing=replacing)

    def upload(self, key: str, source: Path) -> None:
        with self._call("upload"):
            self._store.upload(key, source)

    @contextlib.contextmanager
    def download(self, key: str) -> Iterator[BinaryIO]:
        with self._call("download"), self._store.download(key) as stream:
            yield stream

    def delete(self, key: str) -> None:
        with self._call("delete"):
            self._store.delete(key)

    def fences(self) -> bool:
        with self._call("fences"):
            return self._store.fences()

    @contextlib.contextmanager
    def _call(self, name: str) -> Iterator[None]:
        self.calls.append(name)
        is_it = len(self.calls) == self._at
        if is_it:
            self._before()
        yield
        if is_it:
            self._after()


def unavailable() -> None:
    raise StoreUnavailable("by the test")


def refused_as_a_retry_is() -> None:
    """What S3 says to a conditional write that a library has sent twice: it was carried out the first time."""
    raise Conflict("by the test")
