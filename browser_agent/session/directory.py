"""Sessions in a folder. What is there is whole and on the disk: written aside, synced, renamed, the folder synced."""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .durable import sync
from .errors import Conflict, NotInStore, StoreRefused, StoreUnavailable
from .keys import checked
from .store import Document

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# No key has a tilde in it.
LOCK = "~lock"
UNFINISHED = "~"
UNFINISHED_FOR_S = 60.0  # between creating such a file and locking it
PIECE = 1 << 20
PROBE = "probe"
_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class DirectoryStore:
    """Keys are files below `root`. Processes on one kernel are kept apart by flock."""

    def __init__(self, root: Path, *, lock_timeout_s: float = 5.0) -> None:
        self.location = str(root)
        self._root = root
        self._lock_timeout_s = lock_timeout_s

    def read(self, key: str) -> Document | None:
        path = self._path(key)
        with self._translated():
            return _document(path)

    def write(self, key: str, data: bytes, *, replacing: str | None) -> str:
        path = self._path(key)
        with self._locked():
            return self._write_if(path, data, replacing)

    def upload(self, key: str, source: Path, content_type: str | None = None) -> None:
        """A file has no type: `content_type` goes nowhere."""
        path = self._path(key)
        with source.open("rb") as file, self._translated():
            _make_folders(path.parent)
            _sweep(path.parent)
            _replace(path, lambda target: shutil.copyfileobj(file, target, PIECE))

    @contextlib.contextmanager
    def download(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with self._translated():
            try:
                file = _Reading(path, self._failure)
            except _ABSENT as error:
                raise NotInStore(key) from error
        with io.BufferedReader(file, PIECE) as stream:
            yield stream

    def address(self, key: str) -> str:
        return self._path(key).as_uri()

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._translated(), contextlib.suppress(*_ABSENT):
            path.unlink()
            sync(path.parent)

    def fences(self) -> bool:
        path = self._path(PROBE)
        data = secrets.token_bytes(16)
        with self._locked():
            _replace(path, lambda target: target.write(data))
            document = _document(path)
            if document is None or document.data != data:
                raise StoreUnavailable(f"{self.location} does not give back what was written to it")
            try:
                self._write_if(path, b"", "0" * 64)
                refused = False
            except Conflict:
                refused = True
            path.unlink()
        return refused

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + self._lock_timeout_s
        with self._translated():
            _make_folders(self._root)
            descriptor = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "rb") as file:
                while not _try_lock(file):
                    if time.monotonic() > deadline:
                        raise StoreUnavailable(f"{self.location} is locked by another process")
                    time.sleep(0.02)
                yield

    def _write_if(self, path: Path, data: bytes, replacing: str | None) -> str:
        current = _document(path)
        if (current.version if current else None) != replacing:
            raise Conflict(path.name)
        _make_folders(path.parent)
        _replace(path, lambda target: target.write(data))
        return _version(data)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> StoreUnavailable:
        kind = StoreRefused if error.errno in _REFUSALS else StoreUnavailable
        advice = ": check the folder and its owner" if kind is StoreRefused else ""
        return kind(f"{self.location}: {error.strerror or type(error).__name__}{advice}")


class _Reading(io.FileIO):
    """A file whose errors are the store's."""

    def __init__(self, path: Path, failure: Callable[[OSError], StoreUnavailable]) -> None:
        super().__init__(path)
        self._failure = failure

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise self._failure(error) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise self._failure(error) from error


def _document(path: Path) -> Document | None:
    try:
        data = path.read_bytes()
    except _ABSENT:
        return None
    return Document(data, _version(data))


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _replace(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file aside and put it in the place of `path`, or leave everything as it was."""
    aside = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Held while we live: how the next upload tells ours from a killed process's.
            _try_lock(file)
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            aside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync(path.parent)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished."""
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.name == LOCK:
            continue
        with contextlib.suppress(OSError), path.open("rb") as file:
            old = abs(time.time() - os.fstat(file.fileno()).st_mtime) > UNFINISHED_FOR_S
            if old and _try_lock(file):
                path.unlink()


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folders(folder: Path) -> None:
    """As mkdir's `parents`, which would leave the parents open to everybody and not yet on the disk."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    sync(folder.parent)
