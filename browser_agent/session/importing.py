"""Sessions from elsewhere made a generation: a RemoteAuth backup of whatsapp-web.js, or an export of ours."""

import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from . import archive, remote_auth
from .errors import BadArchive, NotInStore
from .manifest import Manifest, describe, storage_of
from .pointer import Generation
from .store import SessionStore
from .vault import Vault


def find_in_store(
    store: SessionStore, into: Path, client_id: str | None, remote_path: str | None, data_path: str | None
) -> Path | None:
    """Copy a backup of whatsapp-web.js out of the store to the file `into`; None where there is none. Raises
    StoreUnavailable, OSError."""
    for key in remote_auth.candidate_keys(client_id, remote_path, data_path):
        try:
            with store.download(key) as source, into.open("wb") as file:
                into.chmod(0o600)
                shutil.copyfileobj(source, file, 1 << 20)
        except (NotInStore, ValueError):  # no key of a store: whatsapp-web.js had absolute ones
            continue
        return into
    return None


def import_archive(vault: Vault, source: Path, folder: Path) -> Generation:
    """Make what is in the file the newest generation, under a new epoch: the next agent restores it.

    `folder` must not exist and is left for the caller to delete. Raises BadArchive for anything that is neither kind,
    StoreUnavailable, OSError.
    """
    browser_version: str | None = None
    wa_js_version: str | None = None
    with source.open("rb") as file:
        if remote_auth.is_remote_auth(file):
            remote_auth.extract(source, folder)
            cause = "imported from whatsapp-web.js"
        else:
            file.seek(0)
            manifest = archive.unpack(file, folder)
            browser_version, wa_js_version = manifest.browser_version, manifest.wa_js_version
            cause = f"imported from session {manifest.session_id}"
    pointer = vault.claim(vault.pointer(), 1)
    files = describe(folder)
    imported = Manifest(
        session_id=vault.session_id,
        epoch=pointer.epoch,
        created_at=datetime.now(UTC),
        cause=cause,
        browser_version=browser_version,
        wa_js_version=wa_js_version,
        service_version=version("whatsapp-container"),
        storage=storage_of(files),
        files=files,
    )
    generation, is_new = vault.save(folder, imported)
    if not is_new:
        raise BadArchive(f"generation {generation.id} has the same content: it is there already")
    return generation
