"""What a browser leaves on the disk when it is killed: its temporary files, and what it writes of crashes.

Each browser has a temporary folder of its own, whose path is noted beside the profile before it is made: whoever has
the profile next removes it. It lies where others do, not beside the profile: the path of a socket in it must be
short, and where /dev/shm is small Chromium keeps its shared memory in it, for which a volume may be slow.
"""

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

from whatsapp_contract.logs import get_logger

log = get_logger(__name__)

NOTE = "browser-tmp"  # beside the profile
PREFIX = "wa-browser-"
CHROMIUM_PREFIX = "org.chromium.Chromium."  # of what it makes in a temporary folder

_SHM = Path("/dev/shm")  # noqa: S108  # a mount, not a file
_SOCKET_PATH_BYTES = 107
_IN_TMP = CHROMIUM_PREFIX + "XXXXXX/SingletonSocket"
# Chromium takes the name off such a file as soon as it has opened it; an old one is of a browser that was killed.
_SHM_OLD_S = 60.0


def fresh_tmp(profile: Path) -> Path | None:
    """A new folder for the browser's temporary files. None where there can be none: it uses the system's then."""
    parent = Path(tempfile.gettempdir())
    name = PREFIX + secrets.token_hex(4)
    if len(os.fsencode(parent / name / _IN_TMP)) > _SOCKET_PATH_BYTES:
        parent = Path("/tmp")  # noqa: S108  # the name is new, and the folder's alone
    try:
        (profile.parent / NOTE).write_text(str(parent / name))
        (parent / name).mkdir(mode=0o700)
    except OSError as error:
        log.warning("the browser gets no temporary folder of its own", error=str(error.strerror))
        return None
    return parent / name


def remove_leftovers(profile: Path) -> None:
    """Of all former browsers on this profile. None of them runs any more. Never raises."""
    _remove_noted_tmp(profile.parent / NOTE)
    with contextlib.suppress(OSError):
        # One that had no folder of its own left its socket's in the system's.
        folder = (profile / "SingletonSocket").readlink().parent
        if folder.name.startswith(CHROMIUM_PREFIX):
            _remove_folder(folder)
    # Dumps hold the account's secrets, and nobody reads them.
    for folder in (profile / "Crash Reports", profile / "Crashpad"):
        shutil.rmtree(folder, ignore_errors=True)
    _remove_old_shared_memory()


def _remove_noted_tmp(note: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        folder = Path(note.read_text())
        if folder.is_absolute() and folder.name.startswith(PREFIX):
            _remove_folder(folder)
        note.unlink()


def _remove_folder(folder: Path) -> None:
    """Only a real folder, and our own: the path was written down by somebody, some time ago."""
    with contextlib.suppress(OSError):
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


def _remove_old_shared_memory() -> None:
    for file in _SHM.glob(f".{CHROMIUM_PREFIX}*"):
        with contextlib.suppress(OSError):
            found = file.lstat()
            is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
            if is_ours and time.time() - found.st_mtime > _SHM_OLD_S:
                file.unlink()
