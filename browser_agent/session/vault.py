"""The vault: a session's generations in a store. Everything here blocks, and is safe to be killed at any point.

The order is what keeps a session: an archive goes to a key of its own, is read back and opened, and only then does the
pointer move to it, by one write that fails if anybody else has written. What it replaces is deleted after that.
"""

import hashlib
import io
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from whatsapp_contract.logs import get_logger

from . import archive
from .encryption import MAGIC, Keyring
from .errors import BadArchive, Conflict, NewerFormat, NotInStore, Outrun, SessionError, StoreUnavailable
from .manifest import Manifest
from .pointer import Generation, Pointer, PointerFile, Tombstone
from .store import SessionStore

log = get_logger(__name__)

TRIES = 5  # at a conditional write that others may get in the way of
Progress = Callable[[int, int], None]  # bytes done, bytes in all


class Vault:
    """One session's. `keep` is how many generations stay."""

    def __init__(
        self,
        store: SessionStore,
        session_id: str,
        keyring: Keyring,
        keep: int,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        progress: Progress = lambda _done, _all: None,
    ) -> None:
        self.store = store
        self.session_id = session_id
        self._keyring = keyring
        self._keep = keep
        self._now = now
        self._progress = progress
        self._file = PointerFile(store, session_id)

    def pointer(self) -> Pointer:
        """What the store has of the session. Raises StoreUnavailable; BadArchive for a pointer that cannot be read."""
        return self._file.read()

    def claim(self, pointer: Pointer, at_least: int) -> Pointer:
        """Take the session over: from now on only the epoch of the answer may save. It is above every former one.

        `pointer` is what was read last. Raises Conflict where it has moved since: look at it again.
        """
        claimed = pointer.model_copy(update={"epoch": max(at_least, pointer.epoch + 1)})
        self._file.write(claimed)
        return claimed

    # -- saving ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path, manifest: Manifest) -> tuple[Generation, bool]:
        """Make what is staged in `folder` (`profile/`, perhaps `local-storage.json`) the newest generation.

        Answers it, and whether it is new: where the newest one has the same content and is still whole, nothing is
        uploaded. Raises Outrun when a newer epoch holds the session, StoreUnavailable, and OSError (disk full). What
        was there before is still there then.
        """
        pointer = self._own(self._file.read(), manifest.epoch)
        if (same := self._same(pointer, manifest)) is not None:
            return self._renew(same, manifest.epoch), False
        packed = folder / "archive"
        generation = self._pack(folder, manifest, packed)
        doomed = self._announce(generation)
        try:
            self.store.upload(generation.key, packed)
            self.check(generation)
            self._point_to(generation, self._delete(doomed))
        except SessionError:
            self._give_way_if_outrun(generation)
            raise
        self._clean_up()
        return generation, True

    def _give_way_if_outrun(self, generation: Generation) -> None:
        """Whatever a save failed by, it was in vain if a newer epoch has claimed the session meanwhile: then nothing
        is left of it, since there is no next save that would find it. Raises Outrun."""
        try:
            pointer = self._file.read()
        except SessionError:
            return  # what the save failed by tells more
        if pointer.epoch > generation.epoch and pointer.generation(generation.id) is None:
            self._delete((generation.key,))
        self._own(pointer, generation.epoch)

    def _same(self, pointer: Pointer, manifest: Manifest) -> Generation | None:
        """The newest generation, if it has this content in this encryption, and can still be read."""
        newest = pointer.generations[0] if pointer.generations else None
        if newest is None or newest.content_sha256 != manifest.content_sha256:
            return None
        if newest.encrypted_with != self._keyring.encrypts_with:
            return None
        try:
            self.check(newest)
        except (BadArchive, NotInStore) as error:
            log.error("the newest generation is damaged and is replaced", generation=newest.id, error=str(error))
            return None
        return newest

    def _renew(self, generation: Generation, epoch: int) -> Generation:
        renewed = generation.model_copy(update={"verified_at": self._now()})

        def with_it(pointer: Pointer) -> Pointer:
            kept = tuple(renewed if each.id == renewed.id else each for each in self._own(pointer, epoch).generations)
            return pointer.model_copy(update={"generations": kept})

        self._change(with_it, lambda pointer: renewed in pointer.generations)
        return renewed

    def _pack(self, folder: Path, manifest: Manifest, packed: Path) -> Generation:
        with packed.open("wb") as file, self._keyring.encrypting(file) as out:
            archive.pack(folder, manifest, out)
        with packed.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        generation_id = f"{manifest.epoch:06d}-{manifest.created_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        suffix = ".tar.zst.enc" if self._keyring.encrypts_with else ".tar.zst"
        return Generation(
            id=generation_id,
            key=f"sessions/{self.session_id}/{generation_id}{suffix}",
            epoch=manifest.epoch,
            created_at=manifest.created_at,
            verified_at=manifest.created_at,
            cause=manifest.cause,
            stored_bytes=packed.stat().st_size,
            sha256=digest,
            profile_bytes=sum(file.size for file in manifest.files),
            files=len(manifest.files),
            content_sha256=manifest.content_sha256,
            encrypted_with=self._keyring.encrypts_with,
            browser_version=manifest.browser_version,
            wa_js_version=manifest.wa_js_version,
            service_version=manifest.service_version,
        )

    def _announce(self, generation: Generation) -> tuple[str, ...]:
        """Have the pointer name the upload before it begins, so that one that is cut off can be found. Answers what is
        to be deleted: only now, when no earlier write of the pointer can still arrive and point to it."""

        def announced(pointer: Pointer) -> Pointer:
            self._own(pointer, generation.epoch)
            left = (pointer.pending,) if pointer.pending else ()
            return pointer.model_copy(
                update={"epoch": generation.epoch, "pending": generation.key, "doomed": (*pointer.doomed, *left)}
            )

        return self._change(announced, lambda pointer: pointer.pending == generation.key).doomed

    def _point_to(self, generation: Generation, still_doomed: tuple[str, ...]) -> None:
        """The one write that makes it the newest."""
        verified = generation.model_copy(update={"verified_at": self._now()})

        def moved(pointer: Pointer) -> Pointer:
            self._own(pointer, generation.epoch)
            kept, dropped = pointer.generations[: self._keep - 1], pointer.generations[self._keep - 1 :]
            return pointer.model_copy(
                update={
                    "generations": (verified, *kept),
                    "pending": None,
                    "doomed": (*still_doomed, *(each.key for each in dropped)),
                    "tombstone": None,
                }
            )

        self._change(moved, lambda pointer: pointer.generation(generation.id) is not None)

    def _clean_up(self) -> None:
        """Best effort: what stays is doomed still, and deleted with the next save."""
        with suppress(SessionError):
            self._delete(self._file.read().doomed)

    # -- reading -----------------------------------------------------------------------------------------------------

    def check(self, generation: Generation) -> Manifest:
        """Read a generation back and open it. Raises BadArchive, WrongKey, NotInStore or StoreUnavailable."""
        return self._open(generation, None)

    def extract(self, generation: Generation, into: Path) -> Manifest:
        """Extract it into a folder that does not exist yet; nothing is left of it on failure. Raises as `check`, and
        OSError (disk full)."""
        return self._open(generation, into)

    def export(self, generation: Generation, out: BinaryIO) -> None:
        """Write the archive, decrypted, to a file. Raises as `check`."""
        self.check(generation)
        with self.store.download(generation.key) as stored:
            plain = self._keyring.decrypting(stored)
            while piece := plain.read(1 << 20):
                out.write(piece)

    def _open(self, generation: Generation, into: Path | None) -> Manifest:
        try:
            with self.store.download(generation.key) as stored:
                counted = _Counted(stored, generation.stored_bytes, self._progress)
                manifest = archive.unpack(self._decrypted(generation, counted), into)
                if (digest := counted.digest()) != generation.sha256:
                    raise BadArchive(f"its bytes are not those that were saved (SHA-256 {digest[:12]}…)")
            if manifest.session_id != self.session_id:
                raise BadArchive(f"it belongs to session {manifest.session_id!r}")
            if (back_end := manifest.storage.get("indexeddb")) != "leveldb":
                raise NewerFormat(f"its IndexedDB is kept in {back_end}; this version's browsers use leveldb")
        except BaseException:
            if into is not None:
                shutil.rmtree(into, ignore_errors=True)
            raise
        return manifest

    def _decrypted(self, generation: Generation, stored: io.RawIOBase) -> BinaryIO:
        """The plain archive. One that was encrypted and is not any more was put there by somebody else."""
        source = io.BufferedReader(stored, 1 << 18)
        if generation.encrypted_with and not source.peek(len(MAGIC)).startswith(MAGIC):
            raise BadArchive("it was saved encrypted, and what is there now is not")
        return self._keyring.decrypting(cast(BinaryIO, source))

    # -- ending, and going back --------------------------------------------------------------------------------------

    def bury(self, epoch: int, cause: str) -> None:
        """End the session: a tombstone in place of its generations, which are then deleted. Raises Outrun."""
        tombstone = Tombstone(at=self._now(), epoch=epoch, cause=cause)

        def buried(pointer: Pointer) -> Pointer:
            self._own(pointer, epoch)
            keys = (each.key for each in pointer.generations)
            return pointer.model_copy(
                update={
                    "epoch": epoch,
                    "generations": (),
                    "pending": None,
                    "doomed": (*pointer.doomed, *keys, *filter(None, [pointer.pending])),
                    "tombstone": tombstone,
                }
            )

        self._change(buried, lambda pointer: pointer.tombstone == tombstone)
        self._clean_up()

    def promote(self, generation_id: str) -> Generation:
        """Make an older generation the newest, under a new epoch: the next agent restores it. Whoever holds the
        session now may not save any more. Raises NotInStore, and as `check`."""
        found = self._file.read().generation(generation_id)
        if found is None:
            raise NotInStore(f"there is no generation {generation_id}")
        self.check(found)
        promoted = found

        def with_it_first(pointer: Pointer) -> Pointer:
            nonlocal promoted
            if pointer.generation(generation_id) is None:
                raise NotInStore(f"generation {generation_id} was dropped meanwhile")
            epoch = pointer.epoch + 1
            promoted = found.model_copy(update={"epoch": epoch, "verified_at": self._now()})
            others = tuple(each for each in pointer.generations if each.id != generation_id)
            return pointer.model_copy(update={"epoch": epoch, "generations": (promoted, *others), "tombstone": None})

        self._change(with_it_first, lambda pointer: promoted in pointer.generations)
        return promoted

    # -- the pointer -------------------------------------------------------------------------------------------------

    def _change(self, change: Callable[[Pointer], Pointer], is_done: Callable[[Pointer], bool]) -> Pointer:
        """Change the pointer by a conditional write. One that is refused is tried again on what is there then, unless
        that shows that it was ours: a retry of the library's, after an answer that was lost, is refused too."""
        pointer = self._file.read()
        for _ in range(TRIES):
            changed = change(pointer)
            try:
                self._file.write(changed)
            except Conflict:
                pointer = self._file.read()
                if is_done(pointer):
                    return pointer
                continue
            return changed
        raise StoreUnavailable(f"the pointer was changed by others {TRIES} times in a row")

    def _own(self, pointer: Pointer, epoch: int) -> Pointer:
        """Raises Outrun unless that epoch is the newest that claimed the session."""
        if pointer.epoch > epoch:
            raise Outrun(f"epoch {pointer.epoch} has claimed the session; this one is {epoch}")
        return pointer

    def _delete(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Delete these; answers those that could not be."""
        left = []
        for key in keys:
            try:
                self.store.delete(key)
            except SessionError as error:
                log.warning("an old archive could not be deleted; the next save tries again", error=str(error))
                left.append(key)
        return tuple(left)


class _Counted(io.RawIOBase):
    """A stream that hashes what goes by and says how far it is."""

    def __init__(self, source: BinaryIO, size_bytes: int, progress: Progress) -> None:
        self._source = source
        self._size_bytes = size_bytes
        self._progress = progress
        self._sha256 = hashlib.sha256()
        self._done_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed has Buffer, of 3.12
        piece = self._source.read(len(buffer))
        buffer[: len(piece)] = piece
        self._sha256.update(piece)
        self._done_bytes += len(piece)
        self._progress(self._done_bytes, self._size_bytes)
        return len(piece)

    def digest(self) -> str:
        """Of everything, what was not asked for included."""
        while piece := self._source.read(1 << 18):
            self._sha256.update(piece)
        return self._sha256.hexdigest()
