"""Node with the package `redis`, in a folder where a script finds it."""

import shutil
from pathlib import Path

import pytest

from tests.harness.npm_packages import NotInstalled, install

PACKAGE = Path(__file__).parents[1] / "node_backend"


def node_with_redis() -> str:
    """Node; the package is in PACKAGE. Skips the test, and says why, where either cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("THE NODE EXAMPLE WAS NOT RUN: node or npm is missing (Debian: apt install nodejs npm)")
    try:
        install(PACKAGE, npm)
    except NotInstalled as error:
        pytest.skip(f"THE NODE EXAMPLE WAS NOT RUN: {error}")
    return node
