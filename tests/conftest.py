"""What every test may use."""

import random

import pytest
from hypothesis import settings

# Shared machines are slow at times; what a test may take is limited by pytest-timeout.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    """One seed for all that is random, told in the header, given back by --hypothesis-seed."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))
    random.seed(int(config.option.hypothesis_seed))


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: --hypothesis-seed={config.option.hypothesis_seed}"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What has to run for minutes beside the others is looked at last. With `-n 3` a file's tests, which share
    services and browsers, stay together in one process."""
    items.sort(key=lambda item: "test_quiet" in item.nodeid)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.name}"))
