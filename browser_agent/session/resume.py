"""Which profile an agent goes on with, decided and put in place before a browser starts."""

import shutil
from dataclasses import dataclass

from whatsapp_contract.logs import get_logger

from .errors import BadArchive, Conflict, NewerBrowser, NewerFormat, NotInStore, StoreUnavailable
from .local_profile import LocalProfile, Record
from .pointer import Generation, Pointer
from .vault import TRIES, Vault

log = get_logger(__name__)


@dataclass(frozen=True)
class Resumed:
    """`pointer` is the claimed one; `restored` is set where the profile came from the store. `damaged` says which
    generations were passed over, newest first, and why."""

    pointer: Pointer
    has_session: bool
    restored: Generation | None = None
    damaged: tuple[str, ...] = ()


def resume(vault: Vault, local: LocalProfile, at_least: int, browser_version: str) -> Resumed:
    """Claim the session under an epoch of `at_least` or more, and have its profile in place: the local one where it is
    whole and not older, else the newest generation that verifies.

    The claim comes last. An agent that cannot restore takes nothing from one that works; and a generation that is
    saved meanwhile is noticed, and taken instead. Raises NewerBrowser, WrongKey, StoreUnavailable, StoreRefused,
    OSError (disk full) and, where the pointer or all that there is cannot be read, BadArchive: none of them means that
    there is no session.
    """
    local.mend()
    for _ in range(TRIES):
        pointer = vault.pointer()
        try:
            if _local_will_do(local, pointer):
                return _keep(vault, local, pointer, at_least)
            return _restore(vault, local, pointer, at_least, browser_version)
        except Conflict:
            log.info("the session was saved or claimed by another meanwhile; looking again")
            local.mend()
    raise StoreUnavailable(f"the pointer was changed by others {TRIES} times in a row")


def _local_will_do(local: LocalProfile, pointer: Pointer) -> bool:
    """Epochs tell what is newer, no clock."""
    if not pointer.generations:
        return True
    record, problem = local.record(), local.problem()
    will_do = problem is None and record is not None and record.epoch >= pointer.generations[0].epoch
    if not will_do:
        log.info("the session is restored from the store", local_profile=problem or "older than the store's")
    return will_do


def _keep(vault: Vault, local: LocalProfile, pointer: Pointer, at_least: int, *damaged: str) -> Resumed:
    claimed = vault.claim(pointer, at_least)
    record = local.record()
    if _was_ended_elsewhere(pointer, record):
        log.info("the local profile belongs to a session that was ended; it is put aside")
        local.discard()
    local.note(Record(claimed.epoch, record.generation if record else None))
    return Resumed(claimed, has_session=local.problem() is None, damaged=damaged)


def _restore(vault: Vault, local: LocalProfile, pointer: Pointer, at_least: int, browser_version: str) -> Resumed:
    damaged: list[str] = []
    for generation in pointer.generations:
        _refuse_newer(generation, browser_version)
        extracted = local.restoring(generation.id)
        shutil.rmtree(extracted, ignore_errors=True)
        try:
            vault.extract(generation, extracted)
        except NewerFormat:
            raise
        except (BadArchive, NotInStore) as error:
            log.error("a generation is damaged", generation=generation.id, error=str(error))
            damaged.append(f"{generation.id}: {error}")
            continue
        claimed = vault.claim(pointer, at_least)
        local.take(extracted, Record(claimed.epoch, generation.id))
        return Resumed(claimed, has_session=True, restored=generation, damaged=tuple(damaged))
    # None can be read any more: what is here, even where it is older, is all there is.
    if (problem := local.problem()) is not None:
        raise BadArchive(
            f"none of its generations can be used ({'; '.join(damaged)}), nor the local profile: {problem}"
        )
    return _keep(vault, local, pointer, at_least, *damaged)


def _was_ended_elsewhere(pointer: Pointer, record: Record | None) -> bool:
    """Logged out, or deleted by an operator, after this machine's profile was last in use."""
    if pointer.tombstone is None or pointer.generations:
        return False
    return record is not None and record.epoch < pointer.tombstone.epoch


def _refuse_newer(generation: Generation, browser_version: str) -> None:
    """Chromium migrates its stores with its major versions, and only forwards."""
    if generation.browser_version is None:
        return
    made_by, here = _major(generation.browser_version), _major(browser_version)
    if made_by > here:
        raise NewerBrowser(
            f"generation {generation.id} was made by browser {generation.browser_version}, and here is "
            f"{browser_version}: run an image with browser {made_by} or newer"
        )


def _major(version: str) -> int:
    text = version.partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() else 0
