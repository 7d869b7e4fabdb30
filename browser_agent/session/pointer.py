"""The pointer: the one small object that says which generations of a session there are. It moves by conditional writes
alone, so nothing ever has to list the store, and nothing that was not verified is ever pointed to.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from .errors import BadArchive, NewerFormat
from .store import Document, SessionStore


class _Model(BaseModel):
    # A field of a later version must not be lost by an older one that writes the pointer anew.
    model_config = ConfigDict(frozen=True, extra="allow")


class Generation(_Model):
    """One verified archive, newest epoch first in the pointer. Sizes in bytes; `sha256` is of the object as stored."""

    id: str
    key: str
    epoch: int  # of the agent whose profile it is; what makes one newer than another, whatever the clocks say
    created_at: AwareDatetime
    verified_at: AwareDatetime
    cause: str
    stored_bytes: int
    sha256: str
    profile_bytes: int
    files: int
    content_sha256: str
    encrypted_with: str | None = None  # the key's id
    browser_version: str | None = None
    wa_js_version: str | None = None
    service_version: str | None = None


class Tombstone(_Model):
    """The session was ended on purpose: by `logout`, or by an operator's `session delete`."""

    at: AwareDatetime
    epoch: int
    cause: str


class Pointer(_Model):
    """What a session's pointer holds.

    `epoch` is the newest that claimed the session. `pending` is the key of an upload under way, or of one that was cut
    off; `doomed` are keys that no generation uses any more and that may still be there.
    """

    format: Literal[1] = 1
    session_id: str
    epoch: int = 0
    generations: tuple[Generation, ...] = ()
    pending: str | None = None
    doomed: tuple[str, ...] = ()
    tombstone: Tombstone | None = None

    def generation(self, generation_id: str) -> Generation | None:
        """The generation of that id, if it is kept."""
        return next((kept for kept in self.generations if kept.id == generation_id), None)


class PointerFile:
    """A session's pointer in a store, with the version that the next write replaces."""

    def __init__(self, store: SessionStore, session_id: str) -> None:
        self.key = f"sessions/{session_id}/pointer.json"
        self._store = store
        self._session_id = session_id
        self._version: str | None = None

    def read(self) -> Pointer:
        """The pointer now; an empty one where there is none yet. Raises BadArchive for one that cannot be read: it
        names sessions, so it is never taken for nothing."""
        document: Document | None = self._store.read(self.key)
        if document is None:
            self._version = None
            return Pointer(session_id=self._session_id)
        self._version = document.version
        try:
            pointer = Pointer.model_validate_json(document.data)
        except ValidationError as error:
            if error.errors()[0]["loc"] == ("format",):
                raise NewerFormat(f"the pointer {self.key} has a format that this version does not know") from None
            raise BadArchive(f"the pointer {self.key} cannot be read: {error.errors()[0]['msg']}") from None
        if pointer.session_id != self._session_id:
            raise BadArchive(f"the pointer {self.key} belongs to session {pointer.session_id!r}")
        return pointer

    def write(self, pointer: Pointer) -> None:
        """Replace what was read last. Raises Conflict where somebody else has written since."""
        data = pointer.model_dump_json(indent=1).encode()
        self._version = self._store.write(self.key, data, replacing=self._version)
