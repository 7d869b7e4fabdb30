"""Real servers for the tests of this folder."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio

from tests.harness.media_bench import Bench
from tests.harness.media_page import MediaPage, media_page
from tests.harness.redis_server import RedisServer
from tests.harness.s3_server import S3Server
from tests.harness.shared_chromium import SharedChromium, shared_chromium
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
        wait_until(lambda: made.control.state(AGENT).name == "RUNNING", 30, "the program runs")
        yield made


@pytest.fixture
def agent(redis_server: RedisServer) -> Iterator[Agent]:
    """Who answers in the agent's place."""
    with Agent(redis_server.url) as made:
        with redis_server.client() as redis:
            wait_until(lambda: redis.pubsub_numsub("whatsapp:s1:commands")[0][1], 20, "the agent listens")
        yield made


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """One for a module."""
    with S3Server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _one_chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharedChromium]:
    async with shared_chromium(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest_asyncio.fixture(loop_scope="module")
async def shared(_one_chromium: SharedChromium) -> AsyncIterator[SharedChromium]:
    """One browser for a module, blank for each test; they have to share its event loop, too."""
    yield _one_chromium
    await _one_chromium.make_blank()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_with_files(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MediaPage]:
    """One browser for a module, whose tests have to share its event loop, too."""
    async with media_page(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def bench(
    redis_server: RedisServer, s3: S3Server, page_with_files: MediaPage, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A page loaded anew, a Redis of the test's own, an empty bucket."""
    s3.reset()
    await page_with_files.page.navigate()
    await page_with_files.page.probe()
    client = redis.asyncio.Redis(port=redis_server.port, decode_responses=True)
    environ = {**os.environ, "DATA_DIR": str(tmp_path / "data"), **s3.settings(), "MEDIA_STORE": "s3"}
    bench = Bench(client, page_with_files, tmp_path, environ)
    await bench.start()
    yield bench
    await bench.stop()
    await client.aclose()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file that `photo.jpg` names, for an agent with its data in `tmp_path/data`."""
    (tmp_path / "data/outgoing").mkdir(parents=True)
    path = tmp_path / "data/outgoing/photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    return path
