"""The stores of sessions and of files, and what we may do there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from whatsapp_contract.settings import Settings

from .finding import Finding, Level, bad, ok, warn

if TYPE_CHECKING:
    from browser_agent.session.store import SessionStore

WITHIN_S = 30.0
TRIES = 2  # a service that starts probes with the same key, and either may see its probe deleted

NEEDED = frozenset(
    {
        "SESSION_STORE",
        "MEDIA_STORE",
        "MEDIA_BUCKET",
        "BUCKET_STATE_NAME",
        "BUCKET_STATE_ACCESS_KEY",
        "BUCKET_STATE_SECRET_KEY",
        "AWS_REGION",
        "S3_ENDPOINT_URL",
        "DATA_DIR",
    }
)

_SESSIONS, _FILES = "session store", "media store"


def look(settings: Settings) -> list[Finding]:
    """One after the other: they share the probe's key where they share the store."""
    from browser_agent.media.stores import open_media_store
    from browser_agent.session.stores import open_store

    store, files = open_store(settings), open_media_store(settings)
    sessions = _probed(_SESSIONS, store, needs_fences=True)
    if files.location == store.location:
        return [sessions, ok(_FILES, "the same") if sessions.level is Level.OK else same(sessions)]
    # Both kinds of store are whole ones; what files need is only a part of that.
    return [sessions, _probed(_FILES, files, needs_fences=False)]  # type: ignore[arg-type]


def same(sessions: Finding) -> Finding:
    """What was found of a store that is shared."""
    return Finding(_FILES, sessions.level, "the same", f"see {_SESSIONS}")


def outcome(name: str, location: str, *, fences: bool, needs_fences: bool) -> Finding:
    """After everything was allowed."""
    if fences or not needs_fences:
        with_fences = ", and conditional writes are kept" if fences else ""
        return ok(name, f"{location}: put, get and delete work{with_fences}")
    return warn(
        name,
        f"{location} does not keep conditional writes",
        "two services on this session could overwrite each other's: never run two, or use a store that has them",
    )


def _probed(name: str, store: SessionStore, *, needs_fences: bool) -> Finding:
    from browser_agent.session.errors import SessionError, StoreRefused

    if (folder := Path(store.location)).is_absolute() and (found := _unused(name, folder)):
        return found
    try:
        fences = any(store.fences() for _ in range(TRIES))
    except StoreRefused as error:
        return bad(
            name, str(error), "as it says: it does not pass by itself, and no session or file is saved until then"
        )
    except SessionError as error:
        return bad(name, str(error), "see that it runs, can be reached from here (network, DNS, proxy), and has space")
    return outcome(name, store.location, fences=fences, needs_fences=needs_fences)


def _unused(name: str, folder: Path) -> Finding | None:
    """A folder that was never used is not made, nor is its lock, which would be ours rather than the service's."""
    from browser_agent.session.directory import LOCK

    try:
        (folder / LOCK).stat()
    except (FileNotFoundError, NotADirectoryError):
        nearest = next(each for each in (folder, *folder.parents) if each.exists())
        if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
            return ok(name, f"{folder}: nothing has been stored yet; it can be written")
        advice = f"let user {os.getuid()} write {nearest}, or set DATA_DIR"
        return bad(name, f"{folder}: {nearest} cannot be written", advice)
    except OSError as error:
        return bad(name, f"{folder}: {error.strerror}", f"let user {os.getuid()} use it, or set DATA_DIR")
    return None
