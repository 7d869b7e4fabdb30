"""What is done with a session's store, as requests and results. It blocks: process.py runs it beside the agent."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from whatsapp_contract.settings import Settings

from .encryption import Keyring
from .errors import DiskTrouble
from .local_profile import LocalProfile
from .manifest import Manifest, describe, storage_of
from .pointer import Generation
from .resume import resume
from .stores import open_store
from .vault import Progress, Vault


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Prepare(_Model):
    """Claim the session and have its profile in place, before a browser starts. `epoch` is Redis' own."""

    epoch: int
    browser_version: str


class Prepared(_Model):
    """`epoch` is the agent's from now on. `damaged` are generations that were passed over, with why."""

    epoch: int
    has_session: bool
    restored: Generation | None
    newest: Generation | None
    damaged: tuple[str, ...]
    store_fences: bool


class Save(_Model):
    """Make what is staged in `folder` a generation."""

    folder: Path
    epoch: int
    cause: str
    browser_version: str | None
    wa_js_version: str | None


class Saved(_Model):
    """`is_new` is false where the newest generation has the same content, and was verified instead."""

    generation: Generation
    is_new: bool


class Bury(_Model):
    """End the session in the store: it was logged out on purpose."""

    epoch: int
    cause: str


class Buried(_Model):
    pass


Request = Prepare | Save | Bury
Result = Prepared | Saved | Buried


@dataclass(frozen=True)
class Work:
    """The operations over the settings' store. Each raises SessionError."""

    settings: Settings

    def do(self, request: Request) -> Result:
        try:
            match request:
                case Prepare():
                    return self.prepare(request)
                case Save():
                    return self.save(request)
                case Bury():
                    self.vault().bury(request.epoch, request.cause)
                    return Buried()
        except OSError as error:
            raise DiskTrouble(str(error)) from error

    def prepare(self, request: Prepare) -> Prepared:
        vault = self.vault()
        store_fences = vault.store.fences()
        local = LocalProfile(self.settings.session_dir)
        resumed = resume(vault, local, request.epoch, request.browser_version)
        generations = resumed.pointer.generations
        return Prepared(
            epoch=resumed.pointer.epoch,
            has_session=resumed.has_session,
            restored=resumed.restored,
            newest=generations[0] if generations else None,
            damaged=resumed.damaged,
            store_fences=store_fences,
        )

    def save(self, request: Save) -> Saved:
        files = describe(request.folder)
        manifest = Manifest(
            format=1,
            session_id=self.settings.session_id,
            epoch=request.epoch,
            created_at=datetime.now(UTC),
            cause=request.cause,
            browser_version=request.browser_version,
            wa_js_version=request.wa_js_version,
            service_version=version("whatsapp-container"),
            storage=storage_of(files),
            files=files,
        )
        generation, is_new = self.vault().save(request.folder, manifest)
        return Saved(generation=generation, is_new=is_new)

    def vault(self, progress: Progress = lambda _done, _all: None) -> Vault:
        """The session's generations, as the settings say. Raises ValueError for a bad SESSION_ENCRYPTION_KEY."""
        settings = self.settings
        key = settings.session_encryption_key
        keyring = Keyring.parse(key.get_secret_value() if key else None)
        return Vault(
            open_store(settings), settings.session_id, keyring, settings.session_generations, progress=progress
        )
