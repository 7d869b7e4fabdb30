"""The status page in a real Chromium, on the real web process and a real Redis."""

import shutil
from collections.abc import Iterator

import pytest

from tests.harness.npm_packages import NotInstalled
from tests.harness.redis_server import RedisServer
from tests.harness.shown_session import ShownSession
from tests.harness.status_page import StatusPage, install_axe
from tests.harness.waiting import wait_until
from tests.harness.watched import Agent
from tests.harness.web_process import WebProcess
from tests.whatsapp_web.browser import Browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def web(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    with WebProcess(server, tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def shown(server: RedisServer) -> Iterator[ShownSession]:
    with server.client() as client:
        session = ShownSession(client)
        session.empty()
        yield session


@pytest.fixture
def page(chromium: Browser, web: WebProcess) -> Iterator[StatusPage]:
    """A tab of its own; neither Chromium nor a policy has anything to complain of, and nobody else was asked."""
    page = StatusPage(chromium.new_page(StatusPage.at_start, isolated=True), web.url)
    yield page
    assert page.complaints() == []
    assert page.strangers() == []
    chromium.clear()


@pytest.fixture(scope="module")
def axe() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("THE PAGE WAS NOT CHECKED BY AXE: npm is missing (Debian: apt install npm)")
    try:
        install_axe(npm)
    except NotInstalled as error:
        pytest.skip(f"THE PAGE WAS NOT CHECKED BY AXE: {error}")


@pytest.fixture
def agent(server: RedisServer, shown: ShownSession) -> Iterator[Agent]:
    """Who answers in the agent's place."""
    with Agent(server.url) as made:
        wait_until(lambda: shown.redis.pubsub_numsub(shown.names.commands)[0][1], 20, "the agent listens")
        yield made
