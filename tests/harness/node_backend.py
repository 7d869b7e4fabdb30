"""Node with the package `redis`, in a folder where a script finds it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "node_backend"


def node_with_redis() -> str:
    """Node; the package is in PACKAGE. Skips the test, and says why, where either cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("THE NODE EXAMPLE WAS NOT RUN: node or npm is missing (Debian: apt install nodejs npm)")
    installed, lock = PACKAGE / "node_modules/.package-lock.json", PACKAGE / "package-lock.json"  # npm's is its last
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--ignore-scripts", "--no-progress"]
        install = subprocess.run(
            command, cwd=PACKAGE, env=dict(os.environ), capture_output=True, text=True, timeout=100, check=False
        )
        if install.returncode != 0:
            pytest.skip(f"THE NODE EXAMPLE WAS NOT RUN: npm ci in {PACKAGE} failed:\n{install.stderr}")
    return node
