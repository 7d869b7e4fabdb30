"""Backups of whatsapp-web.js, the zips of its RemoteAuth as wwebjs-aws-s3 stores them, turned into a profile of ours.

A zip comes from somebody else's bucket, and was taken while the browser wrote. Nothing of it is believed: names, sizes
and checksums are proven while it is read, and a profile appears only when all of it was.
"""

import contextlib
import copy
import os
import posixpath
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from .errors import BadArchive
from .manifest import check_stores

MAX_BYTES = 4 * 1024**3
MAX_FILES = 200_000

# Where in the zip the profile lies: as all versions do it, as those did it that found a `Default` in their `Default`,
# and as those did it whose browser kept no `Default`.
_ROOTS: tuple[tuple[str, ...], ...] = (("Default",), ("Default", "Default"), ())
# As in a snapshot of ours.
_KEPT_FOLDERS = ("IndexedDB", "Local Storage", "Service Worker")
_KEPT_FILES = ("Cookies", "Cookies-journal")

_PIECE_BYTES = 256 * 1024
_MAX_NAME_BYTES = 255  # what a file system takes
_MAX_PATH_BYTES = 1024
# What LevelDB and blobs compress to is far from this; zeros are not.
_MAX_RATIO = 200
_RATIO_ALLOWANCE_BYTES = 64 * 1024**2

_ENTRY_HEADER_BYTES = 30
_MAX_INDEX_BYTES_PER_FILE = 2048
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64_BYTES = 20
_ENCRYPTED = 0x1 | 0x40 | 0x2000

_LEVELDB_FILE = re.compile(r"MANIFEST-\d+|\d{6,}\.(ldb|log)")

# What zipfile raises for bytes that are no zip.
_MALFORMED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, OverflowError)


@dataclass(frozen=True)
class _Entry:
    info: zipfile.ZipInfo
    path: tuple[str, ...]


def candidate_keys(client_id: str | None, remote_path: str | None, data_path: str | None) -> tuple[str, ...]:
    """The keys under which a backup may lie, most likely first.

    The arguments are what the service gave as `clientId`, `remoteDataPath` and `dataPath`. A relative data path is
    taken from the working directory, as there. A key may begin with `/`.
    """
    file = f"RemoteAuth-{client_id}.zip" if client_id else "RemoteAuth.zip"
    remote = remote_path or ""
    keys = [_key(remote, file)]
    if data_path is not None:
        # 1.34.5 and 1.34.6 told the store their local path as the session's name.
        is_absolute = data_path.startswith("/") or PureWindowsPath(data_path).is_absolute()
        keys.append(_key(remote, data_path if is_absolute else str(Path.cwd() / data_path), file))
    # Some stores that are not S3 itself drop the first slash.
    keys += [key.removeprefix("/") for key in keys]
    return tuple(dict.fromkeys(keys))


def is_remote_auth(source: BinaryIO) -> bool:
    """Whether a seekable file is, by its content, a zip with a profile's IndexedDB; it is left at the same position.

    False for one that is damaged. True does not say that it may be used: `extract` looks closer.
    """
    before = source.tell()
    try:
        with _zip(source, MAX_FILES) as archive:
            return _root([tuple(info.filename.split("/")) for info in archive.infolist()]) is not None
    except BadArchive:
        return False
    finally:
        source.seek(before)


def extract(zip_path: Path, into: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """Write what a session consists of to `into`/profile, which appears whole or not at all; the zip stays as it is.

    Every entry is read and checked, also those that are left out. Raises BadArchive, and OSError (disk full,
    `into`/profile exists).
    """
    with zip_path.open("rb") as source, _zip(source, max_files) as archive:
        entries = [_entry(info) for info in archive.infolist()]
        _check_sizes(entries, source, max_bytes)
        _check_paths(entries)
        root = _root([entry.path for entry in entries])
        if root is None:
            raise BadArchive("it holds no LevelDB of an IndexedDB: it is not a backup of RemoteAuth")
        with _new_folder(into, "profile") as profile:
            for entry in entries:
                _extract(archive, entry, root, profile)
            _check_stores(profile)


# -- finding ---------------------------------------------------------------------------------------------------------


def _key(*parts: str) -> str:
    """As Node's path.join does it, and the store after it: Python's would begin anew at an absolute part."""
    joined = posixpath.normpath("/".join(part for part in parts if part).replace("\\", "/"))
    return re.sub("^//+", "/", joined)


def _root(paths: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Where the profile lies: the first of the known places that has an IndexedDB in LevelDB."""
    found = set()
    for *root, folder, store, file in (path for path in paths if len(path) >= 3):
        if folder == "IndexedDB" and store.endswith(".leveldb") and file == "CURRENT":
            found.add(tuple(root))
    return next((root for root in _ROOTS if root in found), None)


# -- reading the index -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _zip(source: BinaryIO, max_files: int) -> Iterator[zipfile.ZipFile]:
    """The zip with its index read. Looked at before zipfile does: that takes any length, and whatever follows."""
    files = _check_index(source, max_files)
    try:
        archive = zipfile.ZipFile(source)
    except _MALFORMED as error:
        raise BadArchive(f"its index cannot be read: {error}") from error
    with archive:
        if len(archive.infolist()) != files:
            raise BadArchive(f"its index names {len(archive.infolist())} entries, and says that they are {files}")
        yield archive


def _check_index(source: BinaryIO, max_files: int) -> int:
    """How many entries the index says it has. It must end where the file ends, and be no larger than we would read."""
    length = source.seek(0, os.SEEK_END)
    if length == 0:
        raise BadArchive("it is empty")
    end = _read_back(source, length, _END.size)
    if not end.startswith(b"PK\5\6"):
        raise BadArchive("it does not end as a zip does: it is truncated, or no zip, or something follows")
    files: int
    _, _, _, _, files, index_bytes, index_at, _ = _END.unpack(end)
    index_end = length - _END.size
    if _read_back(source, index_end, _LOCATOR_64_BYTES).startswith(b"PK\6\7"):
        index_end -= _LOCATOR_64_BYTES + _END_64.size
        end = _read_back(source, index_end + _END_64.size, _END_64.size)
        if not end.startswith(b"PK\6\6"):
            raise BadArchive("the end of its index is damaged")
        files, index_bytes, index_at = _END_64.unpack(end)[-3:]
    if index_at + index_bytes != index_end:
        raise BadArchive("its index is not where it says: bytes are missing, or there are more than it knows of")
    if files > max_files:
        raise BadArchive(f"it has {files} entries, more than {max_files}")
    if index_bytes > files * _MAX_INDEX_BYTES_PER_FILE:
        raise BadArchive(f"its index of {files} entries takes {index_bytes} bytes")
    return files


def _read_back(source: BinaryIO, end: int, size: int) -> bytes:
    """The bytes before a place; none where there are not so many."""
    if end < size:
        return b""
    source.seek(end - size)
    return source.read(size)


# -- checking it -----------------------------------------------------------------------------------------------------


def _entry(info: zipfile.ZipInfo) -> _Entry:
    """An entry that is a file or a folder with a harmless name."""
    name = info.filename
    # zipfile ends a name at a NUL.
    if name != info.orig_filename or not name.isprintable():
        raise BadArchive(f"a name that is not what it seems: {info.orig_filename!r}")
    if name.startswith("/") or PureWindowsPath(name).drive:
        raise BadArchive(f"an absolute path: {name!r}")
    if "\\" in name:
        raise BadArchive(f"a backslash in a path: {name!r}")
    path = tuple(name.removesuffix("/").split("/"))
    if any(part in ("", ".", "..") for part in path):
        raise BadArchive(f"a path that leads elsewhere: {name!r}")
    if len(name.encode()) > _MAX_PATH_BYTES or any(len(part.encode()) > _MAX_NAME_BYTES for part in path):
        raise BadArchive(f"a path that is too long: {name[:80]!r}…")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise BadArchive(f"a link, a device or the like: {name!r}")
    if info.flag_bits & _ENCRYPTED:
        raise BadArchive(f"an encrypted entry: {name!r}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadArchive(f"a compression that RemoteAuth does not use: {name!r}")
    if info.is_dir() and info.file_size:
        raise BadArchive(f"a folder with content: {name!r}")
    return _Entry(info, path)


def _check_sizes(entries: list[_Entry], source: BinaryIO, max_bytes: int) -> None:
    """What the entries say of themselves; when they are read they must not turn out larger."""
    length = source.seek(0, os.SEEK_END)
    total = sum(entry.info.file_size for entry in entries)
    if total > max_bytes:
        raise BadArchive(f"it would take {total} bytes, more than {max_bytes}")
    if total > _MAX_RATIO * length + _RATIO_ALLOWANCE_BYTES:
        raise BadArchive(f"a decompression bomb: {length} bytes would become {total}")
    places = sorted((entry.info.header_offset, entry.info.compress_size) for entry in entries)
    if places and places[0][0] != 0:
        raise BadArchive("something stands before its first entry")
    for (at, size), (following, _) in pairwise([*places, (length, 0)]):
        if at + _ENTRY_HEADER_BYTES + size > following:
            raise BadArchive("its entries overlap, or reach beyond its end")


def _check_paths(entries: list[_Entry]) -> None:
    paths = set()
    for entry in entries:
        if entry.path in paths:
            raise BadArchive(f"two entries of one name: {entry.info.filename!r}")
        paths.add(entry.path)
    files = {entry.path for entry in entries if not entry.info.is_dir()}
    for path in paths:
        if any(path[:depth] in files for depth in range(1, len(path))):
            raise BadArchive(f"a file that is a folder too: {'/'.join(path)!r}")


# -- extracting ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _new_folder(into: Path, name: str) -> Iterator[Path]:
    """A folder that gets its name when the block succeeds, and is gone when it fails, with `into` if that is new."""
    is_new = not into.exists()
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        if (into / name).exists():
            raise FileExistsError(f"{into / name} exists")
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=into) as beside:
            folder = Path(beside, name)
            folder.mkdir(mode=0o700)
            yield folder
            folder.rename(into / name)
    except BaseException:
        if is_new:
            shutil.rmtree(into, ignore_errors=True)
        raise


def _extract(archive: zipfile.ZipFile, entry: _Entry, root: tuple[str, ...], profile: Path) -> None:
    """Check an entry by reading it, and write it where it is kept."""
    if entry.info.is_dir():
        return
    inner = entry.path[len(root) :]
    if entry.path[: len(root)] != root or not _is_kept(inner):
        for _ in _content(archive, entry.info):
            pass
        return
    folder = profile
    for part in ("Default", *inner[:-1]):
        folder /= part
        folder.mkdir(mode=0o700, exist_ok=True)
    with open(folder / inner[-1], "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        for piece in _content(archive, entry.info):
            file.write(piece)


def _is_kept(path: tuple[str, ...]) -> bool:
    # A lock is of a process, not of a session.
    if path[-1] == "LOCK" or any(part.startswith("Singleton") for part in path):
        return False
    if path[0] in _KEPT_FOLDERS:
        return len(path) > 1
    return path[-1] in _KEPT_FILES and path[:-1] in ((), ("Network",))


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """An entry's bytes, which must be as many as it says, and of the checksum that it says."""
    # One more is asked for: zipfile would hide what goes beyond the size that the entry gives for itself.
    asked = copy.copy(info)
    asked.file_size += 1
    left = info.file_size
    try:
        with archive.open(asked) as stream:
            while piece := stream.read(_PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
    except _MALFORMED as error:
        raise BadArchive(f"{info.filename!r} is damaged: {error}") from error
    if left:
        raise BadArchive(f"{info.filename!r} has {'more' if left < 0 else 'fewer'} bytes than it says")


def _check_stores(profile: Path) -> None:
    """A zip made between two writes of a LevelDB may hold half of it: the browser would find it empty, and log out."""
    for store in sorted({file.parent for file in profile.rglob("*") if _LEVELDB_FILE.fullmatch(file.name)}):
        if not (store / "CURRENT").exists():
            raise BadArchive(f"a store is not whole: {str(store.relative_to(profile))!r} has no CURRENT")
    check_stores(profile.parent)
