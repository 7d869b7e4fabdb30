"""Killed at each step of a save and of a restore: after each there is a session that can be restored."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from browser_agent.session import errors
from browser_agent.session.directory import DirectoryStore
from browser_agent.session.encryption import Keyring
from browser_agent.session.errors import (
    BadArchive,
    DiskTrouble,
    NewerBrowser,
    Outrun,
    SessionError,
    StoreRefused,
    StoreUnavailable,
    WrongKey,
)
from browser_agent.session.local_profile import LocalProfile, Record
from browser_agent.session.process import WorkFailed, error_to_wire, from_wire, run_work
from browser_agent.session.resume import resume
from browser_agent.session.vault import Vault
from browser_agent.session.work import Buried, Bury, Prepare, Prepared, Save, Saved
from tests.harness.profiles import DATABASE, manifest_of, word_of, write_profile
from tests.harness.s3_proxy import Hang, Status
from tests.harness.s3_server import S3Server
from tests.harness.service import REPOSITORY
from tests.harness.waiting import wait_until
from whatsapp_contract.settings import Settings


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where syncing takes no time: what is killed here is a process, not the machine."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


def saved(folder: Path, word: str) -> None:
    vault = Vault(DirectoryStore(folder / "store"), "s1", Keyring(), 2)
    epoch = vault.claim(vault.pointer(), 1).epoch
    (folder / "epoch").write_text(str(epoch))
    staged = write_profile(folder / f"staged {word}", word)
    vault.save(staged, manifest_of(staged, epoch))


def killed_at(what: str, folder: Path, number: int) -> bool:
    """Whether it got as far as that step."""
    arguments = [sys.executable, "-m", "tests.harness.dies_in_session", what, str(folder), str(number)]
    done = subprocess.run(arguments, cwd=REPOSITORY, timeout=60, check=False, stdout=subprocess.DEVNULL)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


def restored(folder: Path, machine: str) -> str:
    local = LocalProfile(folder / machine)
    vault = Vault(DirectoryStore(folder / "store"), "s1", Keyring(), 2)
    assert resume(vault, local, 1, "156.0.1").has_session
    assert local.problem() is None
    return word_of(local.session_dir)


def test_killed_at_each_step_of_a_save(memory: Path) -> None:
    steps = 0
    for number in range(1, 30):
        folder = memory / str(number)
        folder.mkdir()
        saved(folder, "old")
        saved(folder, "older goes")
        if not killed_at("save", folder, number):
            break
        steps += 1
        assert restored(folder, "another machine") in ("older goes", "new")
        saved(folder, "next")
        saved(folder, "and next")
        kept = Vault(DirectoryStore(folder / "store"), "s1", Keyring(), 2).pointer().generations
        there = {path.name for path in (folder / "store").rglob("*.tar.zst")}
        assert there == {each.key.rpartition("/")[2] for each in kept}
    assert steps >= 8


@pytest.mark.parametrize("what", ["resume", "rename"])
def test_killed_at_each_step_of_a_restore(memory: Path, what: str) -> None:
    steps = 0
    for number in range(1, 30):
        folder = memory / str(number)
        folder.mkdir()
        saved(folder, "stored")
        local = LocalProfile(write_profile(folder / "machine", "local"))
        local.note(Record(0))
        if not killed_at(what, folder, number):
            break
        steps += 1
        assert restored(folder, "machine") == "stored"
        assert local.before.exists()
        assert list(local.session_dir.glob("restoring-*")) == []
    assert steps >= 3


# Prepared in `start`, it is done for every number by a process that is killed before that change to the disk.
KILLED_AT_EACH_CHANGE = """
import os, shutil, signal, sys
from pathlib import Path
from browser_agent.session.directory import DirectoryStore
from browser_agent.session.encryption import Keyring
from browser_agent.session.local_profile import LocalProfile
from browser_agent.session.resume import resume
from browser_agent.session.vault import Vault

def die_at(number):
    changes = 0
    def hook(event, args):
        nonlocal changes
        changes += event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or (
            event == "open" and bool(args[2] & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC)))
        if changes == number:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

what, folder = sys.argv[1], Path(sys.argv[2])
for number in range(1, 500):
    here = folder / str(number)
    shutil.copytree(folder / "start", here)
    local = LocalProfile(here / "machine")
    vault = Vault(DirectoryStore(here / "store"), "s1", Keyring(), 2)
    child = os.fork()
    if child == 0:
        die_at(number)
        local.proven() if what == "proven" else resume(vault, local, 1, "156.0.1")
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(number)
"""


def killed_at_each_change(what: str, folder: Path) -> list[Path]:
    """What each of the killed has left."""
    arguments = [sys.executable, "-c", KILLED_AT_EACH_CHANGE, what, str(folder)]
    done = subprocess.run(arguments, cwd=REPOSITORY, timeout=110, check=True, capture_output=True, text=True)
    return [folder / str(number) for number in range(1, int(done.stdout.splitlines()[-1]))]


def word_before(local: LocalProfile) -> str:
    return (local.before / DATABASE / "000003.log").read_text()


def has_nothing_half_done(local: LocalProfile) -> bool:
    return not [path for path in local.session_dir.iterdir() if "-" in path.name]


@pytest.mark.parametrize("times", ["first", "second"])
def test_killed_at_each_change_of_the_disk_a_restore_leaves_a_whole_profile(memory: Path, times: str) -> None:
    """The second time the profile from before the first is still there, since the first was never ready."""
    start = memory / "start"
    saved(start, "stored")
    local = LocalProfile(write_profile(start / "machine", "local"))
    local.note(Record(0))
    if times == "second":
        restored(start, "machine")
        local.note(Record(0))
        saved(start, "stored anew")
    left = killed_at_each_change("restore", memory)
    assert len(left) > 20
    for folder in left:
        local = LocalProfile(folder / "machine")
        local.mend()
        assert local.problem() is None, f"{folder.name}: without the store there is nothing whole"
        assert restored(folder, "machine") == ("stored" if times == "first" else "stored anew"), folder.name
        assert word_before(local) == "local", folder.name
        assert has_nothing_half_done(local)


def test_killed_at_each_change_of_the_disk_an_ended_session_stays_ended(memory: Path) -> None:
    start = memory / "start"
    saved(start, "stored")
    local = LocalProfile(write_profile(start / "machine", "local"))
    local.note(Record(0))
    restored(start, "machine")
    vault = Vault(DirectoryStore(start / "store"), "s1", Keyring(), 2)
    vault.bury(vault.pointer().epoch + 1, "session delete")
    left = killed_at_each_change("end", memory)
    assert len(left) > 10
    for folder in left:
        vault, local = Vault(DirectoryStore(folder / "store"), "s1", Keyring(), 2), LocalProfile(folder / "machine")
        for _ in range(2):
            assert not resume(vault, local, 1, "156.0.1").has_session, folder.name
        assert not local.path.exists()
        assert has_nothing_half_done(local)


def test_killed_while_the_profile_from_before_is_deleted_the_next_restore_keeps_a_whole_one(memory: Path) -> None:
    start = memory / "start"
    saved(start, "stored")
    LocalProfile(write_profile(start / "machine", "local")).note(Record(0))
    restored(start, "machine")
    left = killed_at_each_change("proven", memory)
    assert len(left) > 5
    for folder in left:
        saved(folder, "newer")
        local = LocalProfile(folder / "machine")
        assert restored(folder, "machine") == "newer"
        assert word_before(local) == ("local" if folder.name == "1" else "stored"), folder.name
        assert has_nothing_half_done(local)


# -- the process that does the work ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server | None, **variables: str) -> Settings:
    """With the environment that goes with them. Without S3, of a directory."""
    if s3:
        s3.reset()
    variables = {
        **{"DATA_DIR": str(tmp_path), "WHATSAPP_SESSION_ID": "s1", "SESSION_STORE": "directory"},
        **(s3.settings() if s3 else {}),
        **variables,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.from_env(variables)


async def test_the_work_is_done_in_a_process_and_its_errors_come_back_as_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    config = settings(tmp_path, monkeypatch, s3)
    prepared = await run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 20)
    assert isinstance(prepared, Prepared)
    assert (prepared.epoch, prepared.has_session, prepared.store_fences) == (3, False, True)
    vault = Vault(DirectoryStore(tmp_path / "elsewhere"), "s1", Keyring(), 2)
    staged = write_profile(tmp_path / "staged", "x")
    vault.save(staged, manifest_of(staged, vault.claim(vault.pointer(), 9).epoch, browser_version="999.0"))
    for path in (tmp_path / "elsewhere").rglob("*"):
        if path.is_file() and "~" not in path.name:
            s3.put(str(path.relative_to(tmp_path / "elsewhere")), path.read_bytes())
    with pytest.raises(NewerBrowser, match=r"999\.0"):
        await run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 20)
    s3.faults.add(Status(403, "InvalidAccessKeyId"))
    with pytest.raises(StoreRefused, match="BUCKET_STATE_ACCESS_KEY"):
        await run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 20)


async def test_a_store_that_hangs_ends_at_the_deadline_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    config = settings(tmp_path, monkeypatch, s3)
    s3.faults.add(Hang())
    with pytest.raises(StoreUnavailable, match=r"within 1\.5 s"):
        await run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 1.5)
    assert at_work() == []


async def test_a_session_is_saved_and_ended_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(tmp_path, monkeypatch, None)
    write_profile(tmp_path / "staged", "saved")
    save = Save(folder=tmp_path / "staged", epoch=5, cause="x", browser_version="156.0.1", wa_js_version=None)
    first = await run_work(config, save, 20)
    assert isinstance(first, Saved)
    assert (first.is_new, first.generation.epoch, first.generation.cause) == (True, 5, "x")
    (tmp_path / "staged" / "archive").unlink()
    again = await run_work(config, save, 20)
    assert isinstance(again, Saved)
    assert (again.is_new, again.generation.id) == (False, first.generation.id)
    assert isinstance(await run_work(config, Bury(epoch=6, cause="logout"), 20), Buried)
    (tmp_path / "staged" / "archive").unlink(missing_ok=True)
    with pytest.raises(Outrun):
        await run_work(config, save, 20)
    with pytest.raises(DiskTrouble, match="No such file"):
        await run_work(config, save.model_copy(update={"folder": tmp_path / "nothing"}), 20)


async def test_a_wrong_key_and_a_bad_pointer_come_back_as_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, monkeypatch, None, SESSION_ENCRYPTION_KEY="a" * 64)
    write_profile(tmp_path / "staged", "saved")
    save = Save(folder=tmp_path / "staged", epoch=5, cause="x", browser_version=None, wa_js_version=None)
    await run_work(config, save, 20)
    other = settings(tmp_path, monkeypatch, None, SESSION_ENCRYPTION_KEY="b" * 64)
    with pytest.raises(WrongKey):
        await run_work(other, Prepare(epoch=6, browser_version="156.0.1"), 20)
    (tmp_path / "store" / "sessions" / "s1" / "pointer.json").write_text("{")
    (tmp_path / "staged" / "archive").unlink()
    with pytest.raises(BadArchive):
        await run_work(other, save, 20)


def test_every_error_crosses_the_process_as_itself() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SessionError)]
    assert len(kinds) > 10
    for kind in (*kinds, WorkFailed):
        with pytest.raises(SessionError, match=f"^what {kind.__name__} says$") as raised:
            from_wire(error_to_wire(kind(f"what {kind.__name__} says")))
        assert type(raised.value) is kind


async def test_a_process_that_is_killed_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    config = settings(tmp_path, monkeypatch, s3)
    s3.faults.add(Hang())
    work = asyncio.create_task(run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 60))
    (process,) = await asyncio.to_thread(wait_until, at_work, 30, "the process works")
    process.kill()
    with pytest.raises(WorkFailed, match="without an answer"):
        await work


async def test_a_disk_that_hangs_ends_at_the_deadline_and_outruns_nobody_when_it_wakes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe in the pointer's place hangs whoever reads it, and is let go when another start has gone through."""
    config = settings(tmp_path, monkeypatch, None)
    saved(tmp_path, "stored")
    pointer = tmp_path / "store" / "sessions" / "s1" / "pointer.json"
    document = pointer.read_bytes()
    pointer.unlink()
    os.mkfifo(pointer)
    prepare = Prepare(epoch=3, browser_version="156.0.1")
    with pytest.raises(StoreUnavailable, match=r"within 0\.3 s"):
        await run_work(config, prepare, 0.3)

    def opened() -> int | None:
        try:
            return os.open(pointer, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            return None

    pipe = await asyncio.to_thread(wait_until, opened, 20, "it hangs")
    assert pipe is not None
    pointer.rename(tmp_path / "pipe")
    pointer.write_bytes(document)

    async def started() -> Prepared | None:
        try:
            result = await run_work(config, prepare, 20)
        except StoreUnavailable:
            return None
        assert isinstance(result, Prepared)
        return result

    second = await started()
    os.write(pipe, document)
    os.close(pipe)
    async with asyncio.timeout(20):
        while second is None:
            second = await started()
    vault = Vault(DirectoryStore(tmp_path / "store"), "s1", Keyring(), 2)
    await asyncio.get_running_loop().shutdown_default_executor()  # with the one that hung
    assert vault.pointer().epoch == second.epoch


async def test_given_up_the_process_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> None:
    config = settings(tmp_path, monkeypatch, s3)
    s3.faults.add(Hang())
    work = asyncio.create_task(run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 60))
    await asyncio.to_thread(wait_until, at_work, 30, "the process works")
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert at_work() == []


def test_a_killed_agent_takes_the_process_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> None:
    settings(tmp_path, monkeypatch, s3)
    s3.faults.add(Hang())
    script = (
        "import asyncio, os; from browser_agent.session.process import run_work;"
        "from browser_agent.session.work import Prepare; from whatsapp_contract.settings import Settings;"
        "asyncio.run(run_work(Settings.from_env(os.environ), Prepare(epoch=1, browser_version='1'), 60))"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY) as agent:
        (worker,) = wait_until(lambda: at_work(agent.pid), 30, "the process works")
        agent.kill()
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 20, "it is gone")


def at_work(parent: int | None = None) -> list[psutil.Process]:
    """The processes that do the work of an agent, ourselves if none is named."""
    found = []
    for child in psutil.Process(parent).children(recursive=True):
        try:
            if "browser_agent.session" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found
