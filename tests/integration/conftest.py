"""Real servers for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.redis_server import RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, which it may harm."""
    with RedisServer(tmp_path / "redis") as server:
        yield server
