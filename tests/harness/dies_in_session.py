"""python -m tests.harness.dies_in_session save|resume|rename FOLDER N: an agent that is killed at its N-th step.

`save` and `resume` count calls to the store, before which it dies; `rename` counts renames of files on the local disk.
"""

import os
import signal
import sys
from pathlib import Path

from browser_agent.session.encryption import Keyring
from browser_agent.session.local_profile import LocalProfile
from browser_agent.session.resume import resume
from browser_agent.session.vault import Vault
from tests.harness.faulty_store import FaultyStore
from tests.harness.profiles import manifest_of, write_profile


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_rename(number: int, below: Path) -> None:
    left = [number]

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "os.rename" and str(args[0]).startswith(str(below)):
            left[0] -= 1
            if left[0] == 0:
                die()

    sys.addaudithook(hook)


def main(what: str, folder: Path, number: int) -> None:
    store = FaultyStore(folder / "store", at=number if what != "rename" else 0, before=die)
    vault = Vault(store, "s1", Keyring(), 2)
    if what == "save":
        staged = write_profile(folder / "staged", "new")
        epoch = int((folder / "epoch").read_text())
        vault.save(staged, manifest_of(staged, epoch))
        return
    local = LocalProfile(folder / "machine")
    if what == "rename":
        die_at_rename(number, local.session_dir)
    resume(vault, local, 1, "156.0.1")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
