"""What an archive says of itself, and what the files of a session must be to be one."""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, FailFast, Field, ValidationError, field_validator

from .errors import BadArchive, NewerFormat

if TYPE_CHECKING:
    from io import BufferedReader

LOCAL_STORAGE = "local-storage.json"
WATERMARKS = "watermarks.json"
SENDING = "sending.json"
FOLLOW = "follow.json"
BESIDE = (LOCAL_STORAGE, WATERMARKS, SENDING, FOLLOW)  # what an archive has beside the profile
PROFILE = "profile/"
INDEXEDDB = PROFILE + "Default/IndexedDB/"

# Well within PATH_MAX and NAME_MAX, so that a bad path is told from a bad disk.
_MAX_PATH = 1024
_MAX_NAME = 255
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")

_CURRENT = "CURRENT"
_CURRENT_READS = re.compile(rb"(MANIFEST-[0-9]{6,20})\n")
CURRENT_BYTES = 64  # of CURRENT are enough to judge it


class _Ours(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(_Ours):
    """A regular file. `path` is relative, POSIX, and cannot lead out of the folder it is put below."""

    path: str
    size: int = Field(ge=0, lt=8**11)  # what a tar header holds
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("path")
    @classmethod
    def _is_safe(cls, path: str) -> str:
        if _FORBIDDEN.search(path):
            raise ValueError(f"a backslash or a control character in {path!a:.200}")
        names = path.split("/")
        if any(name in {"", ".", ".."} for name in names):
            raise ValueError(f"absolute, or with an empty, '.' or '..' component: {path!a:.200}")
        if len(path.encode()) > _MAX_PATH or any(len(name.encode()) > _MAX_NAME for name in names):
            raise ValueError(f"too long: {path!a:.200}")
        return path


class Manifest(_Ours):
    """The archive's first member. `files` are sorted by path, each is there once, and all are the session's."""

    format: Literal[1] = 1
    session_id: str
    epoch: int = Field(ge=0)
    created_at: AwareDatetime
    cause: str
    browser_version: str | None
    wa_js_version: str | None
    service_version: str | None
    storage: dict[str, str]  # which back end keeps what: {"indexeddb": "leveldb", "local_storage": "leveldb"}
    files: Annotated[tuple[FileEntry, ...], FailFast()]

    @field_validator("files")
    @classmethod
    def _belong_together(cls, files: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        folders: set[str] = set()
        before = ""
        for path in (entry.path for entry in files):
            if path not in BESIDE and not path.startswith(PROFILE):
                raise ValueError(f"neither {', '.join(BESIDE)} nor below {PROFILE}: {path!a:.200}")
            if path <= before:
                raise ValueError(f"{'twice' if path == before else 'not in order'}: {path!a:.200}")
            before = path
            folder = path
            while (folder := folder.rpartition("/")[0]) and folder not in folders:
                folders.add(folder)
        for entry in files:
            if entry.path in folders:
                raise ValueError(f"both a file and a folder: {entry.path!a:.200}")
        return files

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """From the JSON of an archive. Raises BadArchive, also for a format that a later version writes."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            if (found := _format_of(data)) not in {None, 1}:
                raise NewerFormat(f"the manifest has format {found}; this version reads format 1") from None
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part)[:50] for part in first["loc"])
            raise BadArchive(f"the manifest is not valid: {where or 'JSON'}: {first['msg']}") from None

    @property
    def content_sha256(self) -> str:
        """Equal for the same files with the same contents, whenever, wherever and why ever they were kept."""
        digest = hashlib.sha256()
        for entry in self.files:
            digest.update(f"{entry.sha256} {entry.size} {entry.path}\n".encode())
        return digest.hexdigest()

    @property
    def content_bytes(self) -> int:
        """All files together."""
        return sum(entry.size for entry in self.files)

    def to_json(self) -> bytes:
        """What parse reads. Times are in UTC."""
        return self.model_copy(update={"created_at": self.created_at.astimezone(UTC)}).model_dump_json().encode()


def describe(folder: Path) -> tuple[FileEntry, ...]:
    """Every file below the folder, hashed, sorted. Raises BadArchive for what is neither file nor folder."""
    entries = []
    for path, status in _walk(folder):
        if not stat.S_ISREG(status.st_mode):
            raise BadArchive(f"not a regular file: {path!a:.200}")
        with open_regular(folder / path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()  # of what was hashed, whatever it has become since
        try:
            entries.append(FileEntry(path=path, size=size, sha256=digest))
        except ValidationError as error:
            raise BadArchive(f"a file that cannot be kept: {error.errors()[0]['msg']}") from None
    return tuple(sorted(entries, key=lambda entry: entry.path))


def open_regular(path: Path) -> "BufferedReader":
    """Open for reading, without following a link and without waiting for a pipe's other end."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def storage_of(files: Iterable[FileEntry]) -> dict[str, str]:
    """Which back ends the stores among these files have: `leveldb`, `sqlite`, or `none`."""
    paths = [entry.path for entry in files]

    def back_end(folder: str) -> str:
        inside = [path for path in paths if path.startswith(PROFILE + folder)]
        if any(path.endswith("/" + _CURRENT) for path in inside):
            return "leveldb"
        return "sqlite" if inside else "none"

    return {"indexeddb": back_end("Default/IndexedDB/"), "local_storage": back_end("Default/Local Storage/")}


def check_stores(folder: Path, profile: str = "profile") -> None:
    """Raises BadArchive if the browser would find a LevelDB of the profile `folder`/`profile` empty or broken."""
    root = folder / profile

    def read_small(path: str) -> bytes:
        with open_regular(root / path.removeprefix(PROFILE)) as file:
            return file.read(CURRENT_BYTES)

    found = _walk(root) if root.is_dir() else ()
    sizes = {PROFILE + path: status.st_size for path, status in found if stat.S_ISREG(status.st_mode)}
    refuse_stores(problems_of_stores(sizes, read_small))


def problems_of_stores(sizes: Mapping[str, int], read_small: Callable[[str], bytes]) -> list[str]:
    """What is wrong with the LevelDBs among these files (path to size). `read_small` answers the beginning of a file.

    A LevelDB is a folder with a CURRENT. One whose CURRENT leads nowhere is silently made anew by the browser.
    """
    problems = []
    has_indexeddb = False
    for path in sizes:
        folder, slash, name = path.rpartition("/")
        if name != _CURRENT:
            continue
        has_indexeddb |= path.startswith(INDEXEDDB) and folder.endswith(".leveldb")
        reads = _CURRENT_READS.fullmatch(read_small(path))
        if reads is None:
            problems.append(f"{path!a:.200} names no MANIFEST")
        elif not sizes.get(folder + slash + reads[1].decode()):
            problems.append(f"{path!a:.200} names {reads[1].decode()}, which is missing or empty")
    if not has_indexeddb:
        problems.append(f"no LevelDB below {INDEXEDDB}")
    return problems


def refuse_stores(problems: list[str]) -> None:
    """Raises BadArchive if there are any."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadArchive(f"a store is not whole: {problems[0]}{more}")


class _Format(BaseModel):
    format: int


def _format_of(data: bytes) -> int | None:
    try:
        return _Format.model_validate_json(data).format
    except ValidationError:
        return None


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All below that is no folder, by path relative to it, and what it is."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as found:
            for item in found:
                path = below + item.name
                if item.is_dir(follow_symlinks=False):
                    waiting.append(path + "/")
                else:
                    yield path, item.stat(follow_symlinks=False)
