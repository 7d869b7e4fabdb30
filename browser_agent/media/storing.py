"""One file from our folder into the store, unless the same content is there already."""

import time
from collections.abc import Callable
from typing import NamedTuple

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.media_record import MediaRecord, MediaState

from .fetching import SLOWEST_BYTES_PER_S
from .files import Files
from .keys import media_key
from .ledger import Ledger
from .process import MediaProcess
from .requests import Existing, Exists, Find, Found, Store, Stored, Verified
from .store_gate import StoreGate
from .telling import Telling

STORE_WITHIN_S = 60.0  # and what the size takes at the slowest
TRUSTED_FOR_S = 24 * 3600.0  # a stored file not looked at for so long may have been deleted by somebody


class Kept(NamedTuple):
    """Where a file is stored, and when it was last known to be there."""

    url: str
    sha256: str
    size: int
    checked_at: float


class Storing:
    """One per keeper, whose ledger, folder and child process it uses."""

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        process: MediaProcess,
        telling: Telling,
        session_id: str,
        clock: Callable[[], float] = time.time,
        gate_backoff: Backoff | None = None,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._process = process
        self._telling = telling
        self._session_id = session_id
        self._clock = clock
        self._gate = StoreGate(self._on_store_trouble, gate_backoff)

    async def stored_before(self, record: MediaRecord) -> Kept | None:
        """Where the same content is stored already. Raises as `store` does."""
        if record.sha256 is None:
            return None
        file = await self._ledger.stored_file(record.sha256)
        if file is not None and self._is_fresh(file.checked_at):
            return Kept(file.url, record.sha256, file.size, file.checked_at)
        url, size = (record.url, record.size or 0) if file is None else (file.url, file.size)
        if url is not None:
            existing = await self._gate.through(lambda: self._process.ask(Exists(url=url), Existing, STORE_WITHIN_S))
            return Kept(url, record.sha256, size, self._clock()) if existing.exists else None
        if not self._may_be_forgotten(record):
            return None
        request = Find(key=self._key(record, record.sha256), sha256=record.sha256)
        found = await self._gate.through(lambda: self._process.ask(request, Found, _within_s(record.size)))
        return None if found.url is None else Kept(found.url, record.sha256, found.size, self._clock())

    def _may_be_forgotten(self, record: MediaRecord) -> bool:
        """Whether it may have been stored once and not be remembered: an old one, at its first try."""
        is_old = self._clock() - record.sent_at > TRUSTED_FOR_S
        return is_old and not record.attempts and self._files.size(record.key) is None

    async def store(self, record: MediaRecord) -> Kept:
        """Bring it from our folder to the store; what its bytes came to is kept as soon as it is known.

        Raises Corrupt, ObjectRefused, LocalFileGone, LocalFileBad, ProcessDied, WorkFailed and FailsAlone.
        """
        request = Store(
            path=str(self._files.path(record.key)),
            key=self._key(record, "{sha256}"),
            sha256=record.sha256,
            size=record.size,
            mimetype=record.mimetype,
        )
        verified = False

        def on_note(note: Verified) -> None:
            nonlocal verified
            if not verified:
                verified = True
                now = record.changed(state=MediaState.VERIFIED, sha256=note.sha256, size=note.size)
                self._telling.write(self._ledger.kept(now))

        within_s = _within_s(self._files.size(record.key))
        stored = await self._gate.through(lambda: self._process.ask(request, Stored, within_s, on_note))
        return Kept(stored.url, stored.sha256, stored.size, self._clock())

    def _key(self, record: MediaRecord, sha256: str) -> str:
        return media_key(self._session_id, record.sent_at, sha256, record.mimetype, record.filename)

    async def may_be_gone(self, record: MediaRecord) -> bool:
        """One that was stored, and whose message is told again: whether it has to be looked for."""
        if record.state is not MediaState.STORED or record.sha256 is None:
            return False
        file = await self._ledger.stored_file(record.sha256)
        return file is None or not self._is_fresh(file.checked_at)

    def _is_fresh(self, checked_at: float) -> bool:
        return abs(self._clock() - checked_at) < TRUSTED_FOR_S

    def _on_store_trouble(self, error: Exception) -> None:
        told = f"Files cannot be stored: {error}. They wait, and are stored as soon as that is over."
        self._telling.alert("media_store_trouble", told)


def _within_s(size: int | None) -> float:
    return STORE_WITHIN_S + (size or 0) / SLOWEST_BYTES_PER_S
