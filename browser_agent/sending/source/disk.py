"""From this machine's disk: only out of the two folders."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote

from whatsapp_contract.errors import NotFound, Refused

from .content import Fetched, copy, described
from .rules import Rules


def check(source: str, parts: SplitResult, rules: Rules) -> None:
    """Raises Refused for what lies elsewhere, whether it is there or not."""
    path = rules.folders[0] / _path_in(source, parts)
    if not _is_inside(Path(os.path.realpath(path)), rules):
        raise Refused(_OUTSIDE)


def fetch(source: str, parts: SplitResult, out: BinaryIO, rules: Rules, deadline: float) -> Fetched:
    path = _path_in(source, parts)
    with _opened(rules.folders[0] / path, rules) as file:
        expected = os.fstat(file.fileno()).st_size
        size, head = copy(file.read, out, rules.max_bytes, expected, deadline)
    return described(size, head, None, Path(path).name)


def _path_in(source: str, parts: SplitResult) -> str:
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise Refused("a file is one of this machine's")
    path = unquote(parts.path) if parts.scheme == "file" else source
    if "\0" in path:
        raise Refused("no file has such a name")
    return path


_OUTSIDE = "of files only those below DATA_DIR/outgoing and DATA_DIR/store/media may be sent"


@contextlib.contextmanager
def _opened(path: Path, rules: Rules) -> Iterator[BinaryIO]:
    """The file behind all links, where that is in one of the folders. What was opened is looked at, not its name."""
    try:
        resolved = Path(os.path.realpath(path))
        if not _is_inside(resolved, rules):
            raise Refused(_OUTSIDE)
        # Not blocking: a pipe would let us wait for ever.
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("there is no such file") from None
    except OSError as error:
        raise Refused(f"the file cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("that is no file")
    with os.fdopen(descriptor, "rb") as file:
        if not _is_inside(Path(os.path.realpath(f"/proc/self/fd/{descriptor}")), rules):
            raise Refused(_OUTSIDE)
        yield file


def _is_inside(path: Path, rules: Rules) -> bool:
    return any(path.is_relative_to(os.path.realpath(folder)) for folder in rules.folders)
