"""What every test may use."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines are slow at times; what a test may take is limited by pytest-timeout.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")

FIRST = ("container", "soak", "faults")  # each of their tests takes long
BUSY, WAITING, LAST = "acceptance", "integration", "unit"


def pytest_configure(config: pytest.Config) -> None:
    """One seed for all that is random, told in the header, given back by --hypothesis-seed."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))
    random.seed(int(config.option.hypothesis_seed))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is random, and what is not tried here at all."""
    seed = f"seed: --hypothesis-seed={config.option.hypothesis_seed}"
    image = os.environ.get("IMAGE_UNDER_TEST")
    return [seed, f"image: {image}" if image else "image: NOT TESTED here, but by `make image-test`"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no process is left with it at the end. Then files that keep the processors
    busy alternate with those that mostly wait: were all of the former at once, services would come up too late."""
    files = list(dict.fromkeys(item.path for item in items))
    turns: dict[Path, tuple[int, float]] = {}
    for folder in (BUSY, WAITING):
        those = [file for file in files if _kind(file) == folder]
        turns |= {file: (len(FIRST), place / len(those)) for place, file in enumerate(those)}
    for file in files:
        if file.name == "test_quiet.py":
            turns[file] = (-1, 0)
        elif _kind(file) not in (BUSY, WAITING):
            turns[file] = ((*FIRST, BUSY, LAST).index(_kind(file)), 0)
    items.sort(key=lambda item: turns[item.path])


def _kind(file: Path) -> str:
    """The folder of `tests` that it is in, however deep."""
    return file.relative_to(Path(__file__).parent).parts[0]
