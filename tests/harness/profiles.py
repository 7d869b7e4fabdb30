"""Small profiles as a browser would leave them, with a word in them to be told apart by."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from browser_agent.session.manifest import Manifest, describe

DATABASE = "Default/IndexedDB/https_web.whatsapp.com_0.indexeddb.leveldb"


def write_profile(folder: Path, word: str) -> Path:
    """`folder`/profile, whole."""
    files = {
        f"{DATABASE}/CURRENT": "MANIFEST-000001\n",
        f"{DATABASE}/MANIFEST-000001": "edits",
        f"{DATABASE}/000003.log": word,
        "Default/Local Storage/leveldb/CURRENT": "MANIFEST-000001\n",
        "Default/Local Storage/leveldb/MANIFEST-000001": "edits",
    }
    for path, text in files.items():
        file = folder / "profile" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def word_of(folder: Path) -> str:
    """What was given to write_profile."""
    return (folder / "profile" / DATABASE / "000003.log").read_text()


def manifest_of(folder: Path, epoch: int, **changes: Any) -> Manifest:
    facts: dict[str, Any] = {
        "session_id": "s1",
        "epoch": epoch,
        "created_at": datetime.now(UTC),
        "cause": "the test",
        "browser_version": "156.0.1",
        "wa_js_version": "4.6.0",
        "service_version": "0.1.0",
        "storage": {"indexeddb": "leveldb", "local_storage": "leveldb"},
        "files": describe(folder),
    }
    return Manifest(**facts | changes)
