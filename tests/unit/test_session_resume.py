"""Which profile an agent goes on with, and that nothing is lost on the way there."""

import json
import os
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.encryption import Keyring
from browser_agent.session.errors import BadArchive, NewerBrowser, NewerFormat, SessionError, StoreUnavailable
from browser_agent.session.local_profile import LocalProfile, Record
from browser_agent.session.resume import Resumed, resume
from browser_agent.session.vault import Vault
from tests.harness.faulty_store import FaultyStore, unavailable
from tests.harness.profiles import DATABASE, manifest_of, word_of, write_profile

POINTER = "sessions/s1/pointer.json"


class Machine:
    """A machine, with the store that it shares with others."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "store"
        self.vault = Vault(DirectoryStore(self.root), "s1", Keyring(), 5)
        self.local = LocalProfile(tmp_path / "machine")
        self._tmp_path = tmp_path
        self._staged = 0

    def saved(self, word: str, epoch: int | None = None, **changes: Any) -> str:
        """Save as an agent of that epoch, or of a new one; the generation's id."""
        if epoch is None:
            epoch = self.vault.claim(self.vault.pointer(), 1).epoch
        self._staged += 1
        staged = write_profile(self._tmp_path / f"staged{self._staged}", word)
        return self.vault.save(staged, manifest_of(staged, epoch, **changes))[0].id

    def has(self, word: str, epoch: int | None) -> None:
        """A profile of its own, last used under that epoch."""
        write_profile(self.local.session_dir, word)
        if epoch is not None:
            self.local.note(Record(epoch))

    def resumed(self, at_least: int = 1, browser: str = "156.0.1") -> Resumed:
        return resume(self.vault, self.local, at_least, browser)

    @property
    def word(self) -> str:
        return word_of(self.local.session_dir)

    def damage(self, generation_id: str) -> None:
        (archive,) = self.root.rglob(f"{generation_id}*")
        archive.write_bytes(archive.read_bytes()[:-5])


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_anywhere_is_no_session(machine: Machine) -> None:
    resumed = machine.resumed()
    assert (resumed.has_session, resumed.restored, resumed.pointer.epoch) == (False, None, 1)


@pytest.mark.parametrize(("redis", "store", "expected"), [(1, 0, 1), (1, 9, 10), (50, 9, 50)])
def test_the_epoch_is_above_both(machine: Machine, redis: int, store: int, expected: int) -> None:
    if store:
        machine.vault.claim(machine.vault.pointer(), store)
    assert machine.resumed(redis).pointer.epoch == expected


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_local_profile_that_is_not_older_is_used_as_it_is(machine: Machine, epoch: int) -> None:
    machine.saved("stored")
    machine.has("local", epoch)
    assert machine.resumed().restored is None
    assert machine.word == "local"
    assert machine.local.record() == Record(2)


@pytest.mark.parametrize("changed_at", [1, 9_000_000_000])
def test_epochs_and_no_clock_tell_which_is_newer(machine: Machine, changed_at: int) -> None:
    machine.saved("stored")
    for epoch, expected in ((5, "local"), (0, "stored")):
        machine.has("local", epoch)
        for path in (*machine.local.path.rglob("*"), *machine.root.rglob("*")):
            os.utime(path, (changed_at, changed_at))
        machine.resumed()
        assert machine.word == expected
        machine.local.note(Record(0))


@pytest.mark.parametrize("epoch", [0, None])
def test_an_older_or_unknown_one_is_replaced_and_kept_until_the_new_one_is_proven(
    machine: Machine, epoch: int | None
) -> None:
    generation = machine.saved("stored")
    machine.has("local", epoch)
    resumed = machine.resumed()
    assert resumed.restored is not None
    assert resumed.restored.id == generation
    assert machine.word == "stored"
    assert (machine.local.before / DATABASE / "000003.log").read_text() == "local"
    assert machine.resumed().restored is None  # once is enough
    machine.local.proven()
    assert not machine.local.before.exists()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "without CURRENT": lambda database: (database / "CURRENT").unlink(),
    "without MANIFEST": lambda database: (database / "MANIFEST-000001").unlink(),
    "with an empty CURRENT": lambda database: (database / "CURRENT").write_bytes(b""),
    "with an empty MANIFEST": lambda database: (database / "MANIFEST-000001").write_bytes(b""),
    "with a CURRENT of another": lambda database: (database / "CURRENT").write_bytes(b"MANIFEST-000002\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_that_is_not_whole_is_replaced(machine: Machine, damage: str) -> None:
    machine.saved("stored")
    machine.has("local", 5)
    DAMAGES[damage](machine.local.path / DATABASE)
    assert machine.resumed().restored is not None
    assert machine.word == "stored"


def test_damaged_generations_are_passed_over_and_named(machine: Machine) -> None:
    ids = [machine.saved(f"word {number}", epoch=None) for number in range(3)]
    machine.damage(ids[2])
    (found,) = machine.root.rglob(f"{ids[1]}*")
    found.unlink()
    resumed = machine.resumed()
    assert machine.word == "word 0"
    assert [text.split(":")[0] for text in resumed.damaged] == [ids[2], ids[1]]


def test_with_all_damaged_what_is_here_is_used_and_the_store_left_alone(machine: Machine) -> None:
    generation = machine.saved("stored")
    machine.damage(generation)
    machine.has("local", 0)
    resumed = machine.resumed()
    assert (resumed.has_session, resumed.restored, len(resumed.damaged)) == (True, None, 1)
    assert machine.word == "local"
    assert [each.id for each in machine.vault.pointer().generations] == [generation]


def test_with_all_damaged_and_nothing_here_a_person_is_waited_for(machine: Machine) -> None:
    generation = machine.saved("stored")
    machine.damage(generation)
    before = (machine.root / POINTER).read_bytes()
    with pytest.raises(BadArchive, match=generation):
        machine.resumed()
    assert (machine.root / POINTER).read_bytes() == before
    assert not machine.local.path.exists()


def test_one_of_a_later_version_is_not_passed_over(machine: Machine) -> None:
    machine.saved("old")
    document = json.loads((machine.root / POINTER).read_text())
    document["format"] = 2
    (machine.root / POINTER).write_text(json.dumps(document))
    with pytest.raises(NewerFormat):
        machine.resumed()


@pytest.mark.parametrize(
    "pointer",
    [b"", b"{", b"[]", b'{"format": 2, "session_id": "s1"}', b'{"format": 1, "session_id": "another", "epoch": 1}'],
)
def test_a_pointer_that_cannot_be_read_is_never_no_session(machine: Machine, pointer: bytes) -> None:
    machine.has("local", 1)
    machine.saved("stored")
    (machine.root / POINTER).write_bytes(pointer)
    with pytest.raises(BadArchive):
        machine.resumed()
    assert (machine.root / POINTER).read_bytes() == pointer
    assert machine.word == "local"


def test_what_a_later_version_has_put_into_the_pointer_is_kept(machine: Machine) -> None:
    machine.saved("stored")
    document = json.loads((machine.root / POINTER).read_text())
    document["of_a_later_version"] = {"a": 1}
    document["generations"][0]["too"] = "b"
    (machine.root / POINTER).write_text(json.dumps(document))
    machine.resumed()
    machine.saved("more")
    after = json.loads((machine.root / POINTER).read_text())
    assert after["of_a_later_version"] == {"a": 1}
    assert after["generations"][1]["too"] == "b"


def test_one_of_a_newer_browser_is_refused_and_nothing_claimed(machine: Machine) -> None:
    machine.saved("stored", browser_version="157.0.0")
    machine.has("local", 0)
    before = (machine.root / POINTER).read_bytes()
    with pytest.raises(NewerBrowser, match=r"157\.0\.0.*156\.9\.9"):
        machine.resumed(browser="156.9.9")
    assert (machine.root / POINTER).read_bytes() == before
    assert machine.word == "local"
    assert machine.resumed(browser="157.0.0.1").restored is not None


def test_a_store_that_does_not_answer_leaves_all_as_it_is(machine: Machine) -> None:
    machine.saved("stored")
    machine.has("local", 0)
    deaf = Vault(FaultyStore(machine.root, at=1, before=unavailable), "s1", Keyring(), 5)
    with pytest.raises(StoreUnavailable):
        resume(deaf, machine.local, 1, "156.0.1")
    assert machine.word == "local"


def test_a_generation_saved_while_another_is_extracted_is_taken_instead(machine: Machine) -> None:
    machine.saved("first")
    epoch = machine.vault.pointer().epoch
    other = Machine(machine.root.parent / "other")
    other.vault, other.root = Vault(DirectoryStore(machine.root), "s1", Keyring(), 5), machine.root
    (machine.root.parent / "other").mkdir()

    def saved_meanwhile() -> None:
        other.saved("second", epoch)

    slow = Vault(FaultyStore(machine.root, at=2, after=saved_meanwhile), "s1", Keyring(), 5)
    resumed = resume(slow, machine.local, 1, "156.0.1")
    assert resumed.restored is not None
    assert machine.word == "second"


@pytest.mark.parametrize(("epoch", "stays"), [(1, False), (2, True)])
def test_a_profile_from_before_the_end_is_put_aside(machine: Machine, epoch: int, stays: bool) -> None:
    machine.saved("stored")
    machine.vault.bury(2, "session delete")
    machine.has("local", epoch)
    assert machine.resumed().has_session is stays
    assert machine.local.path.exists() is stays
    assert machine.local.ended.exists() is not stays
    assert machine.resumed().has_session is stays  # also after a restart before there was a new one
    machine.local.proven()
    assert not machine.local.ended.exists()


def test_a_restore_cut_off_between_its_renames_is_mended(machine: Machine) -> None:
    machine.saved("stored")
    machine.has("local", 0)
    machine.local.path.rename(machine.local.before)
    (machine.local.session_dir / "restoring-x" / "profile").mkdir(parents=True)
    (machine.local.session_dir / "staging-x").mkdir()
    machine.resumed()
    assert machine.word == "stored"
    assert sorted(path.name for path in machine.local.session_dir.iterdir()) == [
        "profile",
        "profile.before",
        "profile.json",
    ]


def test_a_profile_that_was_proven_is_what_the_next_restore_keeps(machine: Machine) -> None:
    machine.has("first", 0)
    for word, kept in (("second", "first"), ("third", "second")):
        machine.local.note(Record(0))
        machine.saved(word)
        machine.resumed()
        assert (machine.local.before / DATABASE / "000003.log").read_text() == kept
        machine.local.proven()


def test_restored_twice_before_it_was_proven_the_first_profile_is_what_is_kept(machine: Machine) -> None:
    machine.has("first", 0)
    for word in ("second", "third"):
        machine.saved(word)
        machine.resumed()
        machine.local.note(Record(0))
    assert machine.word == "third"
    assert (machine.local.before / DATABASE / "000003.log").read_text() == "first"


def test_a_record_that_is_no_record_counts_for_nothing(machine: Machine) -> None:
    machine.has("local", None)
    for text in ("", "{", "[]", '{"epoch": "x"}'):
        (machine.local.session_dir / "profile.json").write_text(text)
        assert machine.local.record() is None


def test_local_storage_comes_with_the_profile(machine: Machine, tmp_path: Path) -> None:
    epoch = machine.vault.claim(machine.vault.pointer(), 1).epoch
    staged = write_profile(tmp_path / "with dump", "stored")
    (staged / "local-storage.json").write_text('{"origin": "x", "items": {}}')
    machine.vault.save(staged, manifest_of(staged, epoch))
    machine.resumed()
    assert json.loads(machine.local.local_storage.read_text())["origin"] == "x"


def test_a_full_disk_while_restoring_loses_nothing(machine: Machine) -> None:
    machine.saved("stored")
    machine.has("local", 0)

    def full() -> None:
        raise OSError(28, "No space left on device")

    store = FaultyStore(machine.root, at=2, after=full)  # the download, when all of it was extracted
    with pytest.raises(OSError, match="No space left"):
        resume(Vault(store, "s1", Keyring(), 5), machine.local, 1, "156.0.1")
    assert store.calls[1] == "download"
    assert machine.word == "local"
    assert machine.vault.pointer().epoch == 1
    assert list(machine.local.session_dir.glob("restoring-*")) == []


@pytest.mark.parametrize("small", ["restored", "used as it is"])
def test_on_a_disk_that_is_full_at_any_page_nothing_is_lost(tmp_path: Path, small: str) -> None:
    """A disk of so many pages more than there were, until it is done; then the disk grows, and it is done anew."""
    machine = Machine(tmp_path)
    machine.saved("stored")
    mount = tmp_path / "machine"
    mount.mkdir()
    failures = 0
    for pages in range(30):
        mounted(mount, "size=1m")
        try:
            machine.has("local", 0 if small == "restored" else 5)
            used = os.statvfs(mount).f_blocks - os.statvfs(mount).f_bfree
            mounted(mount, f"remount,size={4 * (used + pages)}k")
            before = machine.vault.pointer()
            try:
                machine.resumed()
            except OSError:
                failures += 1
                machine.local.mend()
                assert machine.local.problem() is None
                assert machine.word in ("local", "stored")
                assert machine.vault.pointer().generations == before.generations
                if machine.word == "local":
                    assert not machine.local.before.exists()
                mounted(mount, "remount,size=1m")
                machine.resumed()
                done = False
            else:
                done = True
            assert machine.word == ("stored" if small == "restored" else "local")
            assert machine.local.before.exists() is (small == "restored")
            assert machine.local.record() is not None
        finally:
            subprocess.run(["umount", "-l", str(mount)], check=True)
        if done:
            break
    assert done
    assert failures >= (5 if small == "restored" else 1)


def mounted(at: Path, options: str) -> None:
    """A tmpfs, where we may; where not, the test's summary says that nothing was tried."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        warnings.warn(f"NOT TRIED on a full disk, since none can be mounted: {done.stderr}", stacklevel=2)
        pytest.skip("NOT TRIED on a full disk: no rights to mount one")


def test_what_is_raised_is_always_of_one_tree() -> None:
    from browser_agent.session import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = [kind.code for kind in kinds if issubclass(kind, SessionError)]
    assert len(codes) == len(kinds)
    assert len(codes) == len(set(codes))
