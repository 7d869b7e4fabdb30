"""What cannot be taken back is asked about; where nobody answers nothing is done, and what to do instead is said."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from browser_agent.session.pointer import Pointer
from browser_agent.session.work import Work
from cli.main import cli
from tests.harness.profiles import manifest_of, write_profile
from tests.harness.service import COMMAND, REPOSITORY
from whatsapp_contract.settings import Settings

SAID = "whatsapp-container: nothing was done: nobody said yes; --yes does it without asking\n"
NO_REDIS = "1"  # a port


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of a session that has a generation, and no agent."""
    folder = {"DATA_DIR": str(tmp_path / "data"), "REDIS_PORT": NO_REDIS, "WHATSAPP_SESSION_ID": "s1"}
    vault = Work(Settings.from_env(folder)).vault()
    staged = write_profile(tmp_path / "staged", "word")
    vault.save(staged, manifest_of(staged, vault.claim(vault.pointer(), 1).epoch))
    return folder


def pointer(environ: dict[str, str]) -> Pointer:
    return Work(Settings.from_env(environ)).vault().pointer()


ASKING = [["logout"], ["session", "restore"], ["session", "delete"], ["session", "import", "FILE"]]


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_a_yes_nothing_is_done_and_what_to_do_is_said(
    environ: dict[str, str], tmp_path: Path, command: list[str], answer: str
) -> None:
    (tmp_path / "backup.zip").touch()
    given = [str(tmp_path / "backup.zip") if word == "FILE" else word for word in command]
    before = pointer(environ)
    told = CliRunner(env=environ).invoke(cli, given, input=answer)
    assert told.exit_code == 1
    assert "? [y/N]: " in told.stderr
    assert told.stderr.endswith(f"\n{SAID}")
    assert pointer(environ) == before


def test_a_yes_is_one(environ: dict[str, str]) -> None:
    told = CliRunner(env=environ).invoke(cli, ["session", "delete"], input="y\n")
    assert (told.exit_code, told.stdout) == (0, "1 generations deleted\n")
    assert pointer(environ).generations == ()


@pytest.mark.parametrize("redirected", ["</dev/null", "<&-"])
def test_a_script_without_input_is_told_by_a_code_and_a_document(redirected: str) -> None:
    command = ["sh", "-c", f'"$0" logout --json {redirected}', str(COMMAND)]
    environ = {**os.environ, "REDIS_PORT": NO_REDIS}
    done = subprocess.run(
        command, env=environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "not_confirmed"
    assert "Traceback" not in done.stderr
