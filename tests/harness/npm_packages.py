"""Installing what a test needs from npm, once, whoever of several test processes comes first."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class NotInstalled(Exception):
    """What npm said."""


def install(package: Path, npm: str, env: Mapping[str, str] | None = None) -> None:
    """Install from the lock file in `package` what is not there yet in these versions. Raises NotInstalled."""
    lock = package / "package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # until it is closed: two npm at once take each other's files away
        # npm writes its own lock file last.
        if _versions(package, package / "node_modules/.package-lock.json") == _versions(package, lock):
            return
        result = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-progress"],
            cwd=package,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
    if result.returncode != 0:
        raise NotInstalled(f"npm ci in {package} failed:\n{result.stderr}")


def _versions(package: Path, lock: Path) -> list[str | None]:
    """What `package` asks for, in the versions that a lock file, npm's own of an installation included, names."""
    if not lock.exists():
        return []
    packages = json.loads(lock.read_text())["packages"]
    asked = json.loads((package / "package.json").read_text())["dependencies"]
    return [packages.get(f"node_modules/{name}", {}).get("version") for name in asked]
