"""Real servers for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import SLEEPER, Supervisor
from tests.harness.waiting import wait_until
from tests.harness.watched import Agent
from workers.observing import AGENT


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, which it may harm."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisord of the test's own, that runs something in the agent's place."""
    with Supervisor(tmp_path, {AGENT: SLEEPER}) as made:
        wait_until(lambda: made.control.state(AGENT).name == "RUNNING", 10, "the program runs")
        yield made


@pytest.fixture
def agent(redis_server: RedisServer) -> Iterator[Agent]:
    """Who answers in the agent's place."""
    with Agent(redis_server.url) as made:
        with redis_server.client() as redis:
            wait_until(lambda: redis.pubsub_numsub("whatsapp:s1:commands")[0][1], 5, "the agent listens")
        yield made
