"""What every test may use."""

import os
import random

import pytest
from hypothesis import settings

# Shared machines are slow at times; what a test may take is limited by pytest-timeout.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")

LONGEST_FIRST = ("container", "soak", "acceptance", "faults", "integration", "unit")


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
    """What takes longest comes first, so that no process is left with it at the end."""
    items.sort(key=lambda item: (LONGEST_FIRST.index(item.path.parent.name), item.path.name != "test_quiet.py"))
