"""What the documents name is there."""

import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").glob("*.md")),
]
NAMED = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|js|mjs|md|yaml|cfg|toml|lock|conf))`")
# Of others, or made when something runs.
ELSEWHERE = {"redis.conf", "resolv.conf", "versions.json"}


@pytest.fixture(scope="module")
def files() -> list[str]:
    """With a slash before each, so that a name is found by its end."""
    found = []
    for folder, folders, names in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("node_modules", "build")]
        found += [f"{folder}/{name}" for name in names]
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_is_there(document: str, files: list[str]) -> None:
    named = set(NAMED.findall((REPOSITORY / document).read_text())) - ELSEWHERE
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_of_make_that_is_named_is_there(document: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (REPOSITORY / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`make ([a-z][a-z0-9-]*)", (REPOSITORY / document).read_text()))
    assert named <= targets
