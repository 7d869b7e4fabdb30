"""Killed at each step of a save and of a restore: after each there is a session that can be restored."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.encryption import Keyring
from browser_agent.session.errors import NewerBrowser, StoreRefused, StoreUnavailable
from browser_agent.session.local_profile import LocalProfile, Record
from browser_agent.session.process import run_work
from browser_agent.session.resume import resume
from browser_agent.session.vault import Vault
from browser_agent.session.work import Prepare, Prepared
from tests.harness.profiles import manifest_of, word_of, write_profile
from tests.harness.s3_proxy import Hang, Status
from tests.harness.s3_server import S3Server
from tests.harness.service import REPOSITORY
from tests.harness.waiting import wait_until
from whatsapp_contract.settings import Settings


def saved(folder: Path, word: str) -> None:
    vault = Vault(DirectoryStore(folder / "store"), "s1", Keyring(), 2)
    epoch = vault.claim(vault.pointer(), 1).epoch
    (folder / "epoch").write_text(str(epoch))
    staged = write_profile(folder / f"staged {word}", word)
    vault.save(staged, manifest_of(staged, epoch))


def killed_at(what: str, folder: Path, number: int) -> bool:
    """Whether it got as far as that step."""
    arguments = [sys.executable, "-m", "tests.harness.dies_in_session", what, str(folder), str(number)]
    done = subprocess.run(arguments, cwd=REPOSITORY, timeout=30, check=False, stdout=subprocess.DEVNULL)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


def restored(folder: Path, machine: str) -> str:
    local = LocalProfile(folder / machine)
    vault = Vault(DirectoryStore(folder / "store"), "s1", Keyring(), 2)
    assert resume(vault, local, 1, "156.0.1").has_session
    assert local.problem() is None
    return word_of(local.session_dir)


def test_killed_at_each_step_of_a_save(tmp_path: Path) -> None:
    steps = 0
    for number in range(1, 30):
        folder = tmp_path / str(number)
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
def test_killed_at_each_step_of_a_restore(tmp_path: Path, what: str) -> None:
    steps = 0
    for number in range(1, 30):
        folder = tmp_path / str(number)
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


# -- the process that does the work ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> Settings:
    s3.reset()
    variables = {"DATA_DIR": str(tmp_path), "WHATSAPP_SESSION_ID": "s1", **s3.settings()}
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


async def test_given_up_the_process_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> None:
    config = settings(tmp_path, monkeypatch, s3)
    s3.faults.add(Hang())
    work = asyncio.create_task(run_work(config, Prepare(epoch=3, browser_version="156.0.1"), 60))
    await asyncio.to_thread(wait_until, at_work, 10, "the process works")
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
        (worker,) = wait_until(lambda: at_work(agent.pid), 10, "the process works")
        agent.kill()
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 5, "it is gone")


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
