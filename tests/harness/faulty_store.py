"""A store that fails at a call of the test's choice: before it is carried out, within, or after, its answer lost."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.errors import Conflict, StoreRefused, StoreUnavailable
from browser_agent.session.store import Document

Hook = Callable[[], None]


def nothing() -> None:
    pass


class FaultyStore:
    """A DirectoryStore. `before` and `after` are called around call number `at` (from 1), and may raise; `within` when
    some of a download was read. With `on`, only calls of that method count."""

    def __init__(
        self,
        root: Path,
        *,
        at: int = 0,
        on: str | None = None,
        before: Hook = nothing,
        within: Hook = nothing,
        after: Hook = nothing,
    ) -> None:
        self.location = str(root)
        self.calls: list[str] = []
        self.has_struck = False
        self._store = DirectoryStore(root)
        self._at, self._on = at, on
        self._before, self._within, self._after = before, within, after

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
        with self._call("download") as strikes, self._store.download(key) as stream:
            yield cast(BinaryIO, _Interrupted(stream, self._within)) if strikes else stream

    def delete(self, key: str) -> None:
        with self._call("delete"):
            self._store.delete(key)

    def fences(self) -> bool:
        with self._call("fences"):
            return self._store.fences()

    @contextlib.contextmanager
    def _call(self, name: str) -> Iterator[bool]:
        """Gives whether this is the call."""
        self.calls.append(name)
        strikes = self._on in (None, name) and self._at == sum(self._on in (None, call) for call in self.calls)
        self.has_struck |= strikes
        if strikes:
            self._before()
        yield strikes
        if strikes:
            self._after()


class _Interrupted(io.RawIOBase):
    """A stream whose second read is preceded by the hook."""

    def __init__(self, stream: BinaryIO, hook: Hook) -> None:
        self._stream, self._hook = stream, hook
        self._is_first = True

    def read(self, size: int = -1, /) -> bytes:
        if self._is_first:
            self._is_first = False
            return self._stream.read(100)
        self._hook()
        return self._stream.read(size)


def unavailable() -> None:
    raise StoreUnavailable("by the test")


def refused() -> None:
    raise StoreRefused("by the test")


def refused_as_a_retry_is() -> None:
    """What S3 says to a conditional write that a library has sent twice: it was carried out the first time."""
    raise Conflict("by the test")
