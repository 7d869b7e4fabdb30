"""The profile on this machine's disk: whose it is, whether it is whole, and how another takes its place.

Beside the profile lie a record (which epoch used it last), the localStorage that still has to be given to the page,
how far messages were told, who is never written to,
and, until the session was ready once, the profile from before a restore.
"""

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from .durable import sync
from .manifest import CURRENT_BYTES, FOLLOW, LOCAL_STORAGE, PROFILE, SENDING, WATERMARKS, problems_of_stores
from .snapshot import kept_files


@dataclass(frozen=True)
class Record:
    """`epoch` is that of the last agent that used the profile, `generation` what it was restored from, if it was."""

    epoch: int
    generation: str | None = None


class LocalProfile:
    """Paths of one session under DATA_DIR. Only whoever holds the session's lock may change anything here."""

    def __init__(self, session_dir: Path) -> None:
        self.session_dir = session_dir
        self.path = session_dir / "profile"
        self.before = session_dir / "profile.before"
        self.ended = session_dir / "profile.ended"
        self.local_storage = session_dir / LOCAL_STORAGE
        self.watermarks = session_dir / WATERMARKS
        self.sending = session_dir / SENDING
        self.follow = session_dir / FOLLOW
        self._record = session_dir / "profile.json"

    # -- what is there -----------------------------------------------------------------------------------------------

    def record(self) -> Record | None:
        """None where nothing is known of the profile."""
        try:
            kept = json.loads(self._record.read_text())
            return Record(int(kept["epoch"]), kept.get("generation"))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def problem(self) -> str | None:
        """Why the profile cannot be used as it is; None where it can. A profile that holds no session yet is none."""
        if not (self.path / "Default" / "IndexedDB").is_dir():
            return "there is none"
        files = {PROFILE + file.relative_to(self.path).as_posix(): file for file in kept_files(self.path / "Default")}
        problems = problems_of_stores(
            {path: file.stat().st_size for path, file in files.items()},
            lambda path: files[path].read_bytes()[:CURRENT_BYTES],
        )
        return problems[0] if problems else None

    # -- how it changes ----------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """After a restore that was cut off: bring the profile from before back, drop what is half there."""
        self.session_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path.exists() and self.before.exists():
            self.before.rename(self.path)
        for left in ("restoring-*", "staging-*", "dropped-*"):
            for folder in self.session_dir.glob(left):
                shutil.rmtree(folder, ignore_errors=True)

    def note(self, record: Record) -> None:
        """Write the record; on the disk when this returns."""
        _write(self._record, json.dumps({"epoch": record.epoch, "generation": record.generation}))

    def restoring(self, generation_id: str) -> Path:
        """Where a generation is to be extracted: beside the profile, so that one rename puts it in place."""
        return self.session_dir / f"restoring-{generation_id}"

    def take(self, extracted: Path, record: Record) -> None:
        """Put an extracted generation in the profile's place; the present profile is kept as `before`.

        Killed at any point, `mend` and a second restore make it whole: the record, which says that the profile is as
        new as the generation, is written last.
        """
        self._forget_record()
        beside = (self.local_storage, self.watermarks, self.sending, self.follow)
        for kept in beside:
            kept.unlink(missing_ok=True)
        if self.path.exists():
            # A second restore in a row: what was there before the first is what is worth keeping.
            if self.before.exists():
                self._drop(self.path)
            else:
                self.path.rename(self.before)
        (extracted / "profile").rename(self.path)
        for kept in beside:
            if (brought := extracted / kept.name).exists():
                brought.rename(kept)
        sync(self.session_dir)
        self.note(record)
        shutil.rmtree(extracted, ignore_errors=True)

    def discard(self) -> None:
        """The profile belongs to a session that was ended: begin anew. It is put aside until the next is ready.

        The record goes last: by it, one that is killed here is known to be unfinished.
        """
        self._drop(self.before)  # which `mend` would bring back
        self.local_storage.unlink(missing_ok=True)
        self.watermarks.unlink(missing_ok=True)
        self.sending.unlink(missing_ok=True)
        if self.path.exists():
            self._drop(self.ended)
            self.path.rename(self.ended)
        sync(self.session_dir)
        self._forget_record()

    def proven(self) -> None:
        """The session is ready on this profile: what was kept from before is not needed any more."""
        for former in (self.before, self.ended):
            with contextlib.suppress(OSError):
                self._drop(former)

    def _drop(self, folder: Path) -> None:
        """Delete a profile, never half: what is left of it by a kill has another name, and is for `mend`."""
        if folder.exists():
            dropped = self.session_dir / f"dropped-{secrets.token_hex(4)}"
            folder.rename(dropped)
            shutil.rmtree(dropped, ignore_errors=True)

    def _forget_record(self) -> None:
        self._record.unlink(missing_ok=True)
        sync(self.session_dir)


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    with beside.open("w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    sync(path.parent)
