"""Generations in a store that fails at every single call, in every way: a session is never lost, and nothing leaks."""

import contextlib
import errno
import itertools
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.encryption import Keyring
from browser_agent.session.errors import BadArchive, NotInStore, Outrun, SessionError, StoreUnavailable, WrongKey
from browser_agent.session.local_profile import LocalProfile
from browser_agent.session.pointer import Generation
from browser_agent.session.resume import resume
from browser_agent.session.store import SessionStore
from browser_agent.session.vault import Vault
from tests.harness.faulty_store import FaultyStore, Hook, nothing, refused, refused_as_a_retry_is, unavailable
from tests.harness.profiles import manifest_of, word_of, write_profile

KEEP = 3
FAULTS: dict[str, Callable[[Path, int], FaultyStore]] = {
    "not carried out": lambda root, at: FaultyStore(root, at=at, before=unavailable),
    "refused": lambda root, at: FaultyStore(root, at=at, before=refused),
    "answer lost": lambda root, at: FaultyStore(root, at=at, after=unavailable),
    "cut in a download": lambda root, at: FaultyStore(root, at=at, on="download", within=unavailable),
    "refused after a retry": lambda root, at: FaultyStore(root, at=at, on="write", after=refused_as_a_retry_is),
}
fresh = itertools.count()


def vault(store: SessionStore, keys: str | None = None) -> Vault:
    return Vault(store, "s1", Keyring.parse(keys), KEEP)


def claimed(of: Vault, at_least: int = 1) -> int:
    return of.claim(of.pointer(), at_least).epoch


def save(of: Vault, tmp_path: Path, word: str, epoch: int) -> tuple[Generation, bool]:
    staged = write_profile(tmp_path / f"staged{next(fresh)}", word)
    return of.save(staged, manifest_of(staged, epoch))


def restored_word(store: SessionStore, tmp_path: Path, keys: str | None = None) -> str:
    """What a machine that has nothing of the session goes on with."""
    local = LocalProfile(tmp_path / f"machine{next(fresh)}")
    assert resume(vault(store, keys), local, 1, "156.0.1").restored is not None
    return word_of(local.session_dir)


def archives(root: Path) -> set[str]:
    """All that is in the store beside the pointer and the store's own lock."""
    files = {path.name for path in root.rglob("*") if path.is_file()}
    return files - {"pointer.json", "~lock"}


def named(of: Vault) -> set[str]:
    return {each.key.rpartition("/")[2] for each in of.pointer().generations}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_generations_are_kept_newest_first_and_the_oldest_goes(root: Path, tmp_path: Path) -> None:
    kept = vault(DirectoryStore(root))
    epoch = claimed(kept)
    saved = [save(kept, tmp_path, f"word {number}", epoch)[0].id for number in range(5)]
    assert [each.id for each in kept.pointer().generations] == saved[:-4:-1]
    assert archives(root) == named(kept)
    assert restored_word(DirectoryStore(root), tmp_path) == "word 4"


def test_what_has_not_changed_is_verified_again_and_not_uploaded(root: Path, tmp_path: Path) -> None:
    store = FaultyStore(root)
    kept = vault(store)
    epoch = claimed(kept)
    first, is_new = save(kept, tmp_path, "the same", epoch)
    assert is_new
    again, is_new = save(kept, tmp_path, "the same", epoch)
    assert not is_new
    assert again.id == first.id
    assert again.verified_at > first.verified_at
    assert kept.pointer().generations[0].verified_at == again.verified_at
    assert store.calls.count("upload") == 1


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "deleted"])
def test_an_unchanged_session_whose_archive_was_damaged_is_uploaded_anew(
    root: Path, tmp_path: Path, damage: str
) -> None:
    kept = vault(DirectoryStore(root))
    epoch = claimed(kept)
    first, _ = save(kept, tmp_path, "the same", epoch)
    archive = root / first.key
    data = bytearray(archive.read_bytes())
    if damage == "deleted":
        archive.unlink()
    else:
        data[len(data) // 2] ^= 4
        archive.write_bytes({"flipped": bytes(data), "truncated": bytes(data[:-9]), "empty": b""}[damage])
    second, is_new = save(kept, tmp_path, "the same", epoch)
    assert is_new
    assert second.id != first.id
    assert restored_word(DirectoryStore(root), tmp_path) == "the same"


@dataclass(frozen=True)
class Operation:
    """Something done to a filled store. `leaves` is what can be restored when it has
    succeeded, None for an ended session; after a failure it may also be "two". It makes so many calls at least."""

    do: Callable[[Vault, Path, Generation], object]
    leaves: str | None
    calls: int


def saving(of: Vault, tmp_path: Path, one: Generation) -> None:
    save(of, tmp_path, "three", one.epoch)


def saving_the_same(of: Vault, tmp_path: Path, one: Generation) -> None:
    save(of, tmp_path, "two", one.epoch)


def restoring(of: Vault, tmp_path: Path, _one: Generation) -> None:
    local = LocalProfile(write_profile(tmp_path / f"machine{next(fresh)}", "old"))
    try:
        resume(of, local, 1, "156.0.1")
    except SessionError:
        assert word_of(local.session_dir) == "old"
        raise
    assert word_of(local.session_dir) == "two"


def ending(of: Vault, _tmp_path: Path, one: Generation) -> None:
    of.bury(one.epoch, "logout")


def going_back(of: Vault, _tmp_path: Path, one: Generation) -> None:
    of.promote(one.id)


OPERATIONS = {
    "save": Operation(saving, "three", 9),
    "save of the same": Operation(saving_the_same, "two", 4),
    "restore": Operation(restoring, "two", 3),
    "end": Operation(ending, None, 6),
    "going back": Operation(going_back, "one", 4),
}


def filled(root: Path, tmp_path: Path) -> Generation:
    """A store that holds "zero", "one" and "two"; answers "one"."""
    first = vault(DirectoryStore(root))
    epoch = claimed(first)
    _, (one, _), _ = (save(first, tmp_path, word, epoch) for word in ("zero", "one", "two"))
    return one


def restorable_word(root: Path, tmp_path: Path) -> str | None:
    """As restored_word, on a copy of the store: nothing is claimed. None for a session that was ended."""
    copy = tmp_path / f"copy{next(fresh)}"
    shutil.copytree(root, copy)
    pointer = vault(DirectoryStore(copy)).pointer()
    if pointer.tombstone and not pointer.generations:
        return None
    return restored_word(DirectoryStore(copy), tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_store_that_fails_at_any_call_loses_nothing_and_leaks_nothing(tmp_path: Path, name: str, fault: str) -> None:
    operation = OPERATIONS[name]
    one = filled(tmp_path / "filled", tmp_path)
    for at in itertools.count(1):
        root = tmp_path / f"store {at}"
        shutil.copytree(tmp_path / "filled", root)
        sound = vault(DirectoryStore(root))
        store = FAULTS[fault](root, at)
        acceptable = {operation.leaves}
        try:
            operation.do(vault(store), tmp_path, one)
        except SessionError:
            acceptable |= {"two"}
        if not store.has_struck:
            break
        where = f"{fault}, number {at} of {store.calls}"
        assert restorable_word(root, tmp_path) in acceptable, where
        for word in ("next", "and next"):
            assert save(sound, tmp_path, word, sound.pointer().epoch)[1], where
        assert restorable_word(root, tmp_path) == "and next", where
        assert archives(root) == named(sound), where
    assert fault != "not carried out" or at > operation.calls


@pytest.mark.parametrize("fault", FAULTS)
def test_an_end_that_fails_at_any_call_can_be_told_again(tmp_path: Path, fault: str) -> None:
    for at in itertools.count(1):
        root = tmp_path / f"store {at}"
        sound = vault(DirectoryStore(root))
        epoch = claimed(sound)
        save(sound, tmp_path, "one", epoch)
        store = FAULTS[fault](root, at)
        with contextlib.suppress(SessionError):
            vault(store).bury(epoch, "logout")
        if not store.has_struck:
            break
        sound.bury(epoch, "logout")
        assert sound.pointer().tombstone
        assert archives(root) == set()


def test_deletions_that_fail_never_fail_a_save(root: Path, tmp_path: Path) -> None:
    class Undeletable(DirectoryStore):
        def delete(self, key: str) -> None:
            raise StoreUnavailable(f"{key} stays")

    stubborn = vault(Undeletable(root))
    epoch = claimed(stubborn)
    for number in range(6):
        assert save(stubborn, tmp_path, f"word {number}", epoch)[1]
    assert len(archives(root)) == 6
    sound = vault(DirectoryStore(root))
    save(sound, tmp_path, "last", epoch)
    assert archives(root) == named(sound)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "lost"])
def test_an_upload_that_does_not_come_back_as_it_went_is_never_pointed_to(
    root: Path, tmp_path: Path, damage: str
) -> None:
    class Careless(DirectoryStore):
        def upload(self, key: str, source: Path, content_type: str | None = None) -> None:
            data = bytearray(source.read_bytes())
            data[len(data) // 2] ^= 4
            source.write_bytes({"flipped": bytes(data), "truncated": bytes(data[:-9])}.get(damage, b""))
            if damage != "lost":
                super().upload(key, source, content_type)

    sound = vault(DirectoryStore(root))
    epoch = claimed(sound)
    save(sound, tmp_path, "good", epoch)
    with pytest.raises((BadArchive, NotInStore)):
        save(vault(Careless(root)), tmp_path, "bad", epoch)
    assert restorable_word(root, tmp_path) == "good"
    for word in ("next", "and next"):
        save(sound, tmp_path, word, epoch)
    assert archives(root) == named(sound)


def test_an_outrun_agent_can_not_save_and_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    old, new = vault(DirectoryStore(root)), vault(DirectoryStore(root))
    old_epoch = claimed(old)
    save(old, tmp_path, "of the old one", old_epoch)
    new_epoch = claimed(new)
    assert new_epoch > old_epoch
    with pytest.raises(Outrun):
        save(old, tmp_path, "too late", old_epoch)
    with pytest.raises(Outrun):
        old.bury(old_epoch, "logout")
    save(new, tmp_path, "of the new one", new_epoch)
    assert restored_word(DirectoryStore(root), tmp_path) == "of the new one"
    assert archives(root) == named(new)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["save", "save of the same", "end"])
def test_an_agent_that_freezes_and_wakes_up_after_the_takeover_harms_nothing(
    tmp_path: Path, name: str, when: str
) -> None:
    """At every call the other agent restores, claims and saves; then the first goes on."""
    one = filled(tmp_path / "filled", tmp_path)
    for at in itertools.count(1):
        root = tmp_path / f"store {at}"
        shutil.copytree(tmp_path / "filled", root)
        sound = vault(DirectoryStore(root))
        local = LocalProfile(tmp_path / f"other machine {at}")
        taken_over: list[tuple[int, str]] = []

        def take_over(
            root: Path = root, local: LocalProfile = local, taken_over: list[tuple[int, str]] = taken_over
        ) -> None:
            other = vault(DirectoryStore(root))
            taken = resume(other, local, 1, "156.0.1").pointer.epoch
            taken_over.append((taken, save(other, tmp_path, "of the other", taken)[0].id))

        hooks: dict[str, Hook] = {"before": nothing, "after": nothing} | {when: take_over}
        store = FaultyStore(root, at=at, before=hooks["before"], after=hooks["after"])
        with contextlib.suppress(Outrun):
            OPERATIONS[name].do(vault(store), tmp_path, one)
        if not store.has_struck:
            break
        where = f"frozen {when} {store.calls[at - 1]}, call {at}"
        ((taken, generation),) = taken_over
        assert taken > one.epoch, where
        assert sound.pointer().epoch == taken, where
        assert sound.pointer().generations[0].id == generation, where
        assert restorable_word(root, tmp_path) == "of the other", where
        for word in ("next", "and next"):
            save(sound, tmp_path, word, taken)
        assert archives(root) == named(sound), where
    assert at > OPERATIONS[name].calls


@pytest.mark.parametrize("at", range(1, 10))
def test_an_agent_whose_answer_is_lost_while_another_takes_over(root: Path, tmp_path: Path, at: int) -> None:
    """Whatever the pointer names is there, also where the outrun agent's last write was carried out."""
    sound = vault(DirectoryStore(root))
    epoch = claimed(sound)
    save(sound, tmp_path, "before", epoch)

    def taken_over() -> None:
        other = vault(DirectoryStore(root))
        other.claim(other.pointer(), 1)
        raise StoreUnavailable("the answer is lost")

    with contextlib.suppress(SessionError):
        save(vault(FaultyStore(root, at=at, after=taken_over)), tmp_path, "of the frozen one", epoch)
    assert named(sound) <= archives(root)
    for generation in sound.pointer().generations:
        sound.check(generation)


def test_an_end_fences_out_whoever_held_the_session(root: Path, tmp_path: Path) -> None:
    held = vault(DirectoryStore(root))
    epoch = claimed(held)
    save(held, tmp_path, "x", epoch)
    vault(DirectoryStore(root)).bury(epoch + 1, "session delete")
    with pytest.raises(Outrun):
        save(held, tmp_path, "y", epoch)
    assert held.pointer().tombstone
    assert archives(root) == set()


def test_going_back_to_one_that_a_save_drops_meanwhile_is_refused(root: Path, tmp_path: Path) -> None:
    sound = Vault(DirectoryStore(root), "s1", Keyring(), 1)
    epoch = claimed(sound)
    first, _ = save(sound, tmp_path, "one", epoch)

    def dropped() -> None:
        save(sound, tmp_path, "two", epoch)

    going_back = Vault(FaultyStore(root, at=2, after=dropped), "s1", Keyring(), 1)
    with pytest.raises(NotInStore):
        going_back.promote(first.id)
    assert restored_word(DirectoryStore(root), tmp_path) == "two"


def test_two_claims_of_one_moment_are_never_equal(root: Path) -> None:
    first, second = vault(DirectoryStore(root)), vault(DirectoryStore(root))
    seen_by_first, seen_by_second = first.pointer(), second.pointer()
    taken = first.claim(seen_by_first, 5).epoch
    with pytest.raises(SessionError):
        second.claim(seen_by_second, 5)
    assert second.claim(second.pointer(), 5).epoch == taken + 1


def test_of_agents_that_start_at_one_moment_each_has_an_epoch_of_its_own(root: Path, tmp_path: Path) -> None:
    first = vault(DirectoryStore(root))
    save(first, tmp_path, "stored", claimed(first))
    at_once = threading.Barrier(4)
    epochs: list[int] = []

    def start(machine: int) -> None:
        at_once.wait(30)
        local = LocalProfile(tmp_path / f"of many {machine}")
        epochs.append(resume(vault(DirectoryStore(root)), local, 7, "156.0.1").pointer.epoch)

    threads = [threading.Thread(target=start, args=(machine,)) for machine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(epochs) == [7, 8, 9, 10]


def test_keys_are_rotated_and_a_missing_one_fails_closed(root: Path, tmp_path: Path) -> None:
    old_key, new_key = "a" * 64, "b" * 64
    old = vault(DirectoryStore(root), old_key)
    epoch = claimed(old)
    save(old, tmp_path, "the same", epoch)
    both = vault(DirectoryStore(root), f"{new_key},{old_key}")
    generation, is_new = save(both, tmp_path, "the same", epoch)
    assert is_new
    assert generation.encrypted_with == Keyring.parse(new_key).encrypts_with
    assert restored_word(DirectoryStore(root), tmp_path, new_key) == "the same"
    local = LocalProfile(write_profile(tmp_path / "machine", "untouched"))
    before = both.pointer()
    with pytest.raises(WrongKey):  # although the one before could be read
        resume(vault(DirectoryStore(root), old_key), local, 1, "156.0.1")
    assert word_of(local.session_dir) == "untouched"
    assert sorted(path.name for path in local.session_dir.iterdir()) == ["profile"]
    assert both.pointer() == before
    with pytest.raises(WrongKey):
        resume(vault(DirectoryStore(root)), local, 1, "156.0.1")
    assert both.pointer() == before


def test_one_encrypted_with_a_former_key_is_restored_while_that_is_there(root: Path, tmp_path: Path) -> None:
    old_key, new_key = "a" * 64, "b" * 64
    old = vault(DirectoryStore(root), old_key)
    epoch = claimed(old)
    first, _ = save(old, tmp_path, "with the old key", epoch)
    both = vault(DirectoryStore(root), f"{new_key},{old_key}")
    save(both, tmp_path, "with the new key", epoch)
    both.promote(first.id)
    assert restored_word(DirectoryStore(root), tmp_path, f"{new_key},{old_key}") == "with the old key"
    with pytest.raises(WrongKey):
        restored_word(DirectoryStore(root), tmp_path, new_key)


def test_a_plain_archive_in_the_place_of_an_encrypted_one_is_refused(root: Path, tmp_path: Path) -> None:
    key = "a" * 64
    encrypted = vault(DirectoryStore(root), key)
    generation, _ = save(encrypted, tmp_path, "mine", claimed(encrypted))
    plain = vault(DirectoryStore(tmp_path / "other"))
    foreign, _ = save(plain, tmp_path, "somebody else's", claimed(plain))
    (root / generation.key).write_bytes((tmp_path / "other" / foreign.key).read_bytes())
    with pytest.raises(BadArchive, match="encrypted"):
        encrypted.check(generation)


def test_an_archive_of_another_session_is_refused(root: Path, tmp_path: Path) -> None:
    mine = vault(DirectoryStore(root))
    staged = write_profile(tmp_path / "staged", "x")
    with pytest.raises(BadArchive, match="another"):
        mine.save(staged, manifest_of(staged, claimed(mine), session_id="another"))
    assert mine.pointer().generations == ()


def test_going_back_needs_a_generation_that_is_there(root: Path) -> None:
    with pytest.raises(NotInStore):
        vault(DirectoryStore(root)).promote("none")


def test_clocks_do_not_matter(root: Path, tmp_path: Path) -> None:
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    kept = Vault(DirectoryStore(root), "s1", Keyring(), KEEP, now=lambda: clock[0])
    epoch = claimed(kept)
    save(kept, tmp_path, "one", epoch)
    clock[0] -= timedelta(days=365)
    save(kept, tmp_path, "two", epoch)
    clock[0] += timedelta(days=5000)
    epoch = claimed(kept)
    save(kept, tmp_path, "three", epoch)
    assert restored_word(DirectoryStore(root), tmp_path) == "three"


def test_a_full_disk_while_packing_loses_nothing(root: Path, tmp_path: Path) -> None:
    kept = vault(DirectoryStore(root))
    epoch = claimed(kept)
    save(kept, tmp_path, "before", epoch)
    staged = write_profile(tmp_path / "full", "after")
    manifest = manifest_of(staged, epoch)
    (staged / "archive").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        kept.save(staged, manifest)
    assert caught.value.errno == errno.ENOSPC
    assert restored_word(DirectoryStore(root), tmp_path) == "before"
    assert archives(root) == named(kept)


def test_progress_ends_at_the_whole(root: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    kept = Vault(DirectoryStore(root), "s1", Keyring(), KEEP, progress=progress)
    generation, _ = save(kept, tmp_path, "x" * 1_000_000, claimed(kept))
    assert seen[-1] == (generation.stored_bytes, generation.stored_bytes)
