"""Whose fault it is that the page does not reach its site, and whether the agent does, by the browser's own way."""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from browser_agent import whatsapp
from browser_agent.site_reach import WITHIN_S, reaches
from browser_agent.site_watch import ALONE, SiteWatch
from browser_agent.whatsapp.page import SITE_WITHIN_S

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "auto_proxy", "no_proxy")


class World:
    """What reaches the site, as the test sets it, and a watch that looks all the time."""

    def __init__(self, every_s: float = 0.001) -> None:
        self.page_reaches: bool | None = True
        self.agent_reaches: bool | None = True
        self.load_error: str | None = None
        self.is_wanted = True
        self.asked = 0
        self.link = self  # of the page that it is, too
        self.frame_at: float | None = None
        self.frame_with_each = False
        self.watch = SiteWatch(
            lambda: cast(Any, self),
            is_wanted=lambda: self.is_wanted,
            load_error=lambda: self.load_error,
            reaches=self._reaches,
            every_s=every_s,
        )

    async def ask_site(self) -> bool | None:
        self.asked += 1
        if self.frame_with_each:
            self.hear()
        return self.page_reaches

    def hear(self) -> None:
        self.frame_at = asyncio.get_running_loop().time()

    def heard_since(self, moment: float) -> bool:
        return self.frame_at is not None and self.frame_at > moment

    async def _reaches(self) -> bool | None:
        self.asked += self.load_error is not None
        return self.agent_reaches

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.001)

    async def asked_again(self, times: int = 4) -> None:
        before = self.asked
        await self.until(lambda: self.asked >= before + times)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    watching = asyncio.create_task(world.watch.run())
    yield world
    watching.cancel()


async def test_what_neither_reaches_is_the_site_s_fault_and_nobody_s_here(world: World) -> None:
    world.page_reaches = world.agent_reaches = False
    await world.until(lambda: world.watch.silent_since is not None)
    assert world.watch.offline_since is None


async def test_what_the_agent_reaches_and_the_page_does_not_is_the_browser_s_fault(world: World) -> None:
    world.page_reaches = False
    await world.until(lambda: world.watch.offline_since is not None)
    assert world.watch.silent_since is None
    since = world.watch.offline_since
    await world.asked_again()
    assert world.watch.offline_since == since
    world.page_reaches = True
    await world.until(lambda: world.watch.offline_since is None)


async def test_a_browser_that_stays_offline_when_the_network_is_back_is_found(world: World) -> None:
    world.page_reaches = world.agent_reaches = False
    await world.until(lambda: world.watch.silent_since is not None)
    world.agent_reaches = True
    await world.until(lambda: world.watch.offline_since is not None)
    assert world.watch.silent_since is None
    world.agent_reaches = False
    await world.until(lambda: world.watch.silent_since is not None)
    assert world.watch.offline_since is None


async def test_a_browser_has_time_to_see_that_its_connections_are_dead() -> None:
    world = World(every_s=0.1)
    watching = asyncio.create_task(world.watch.run())
    world.page_reaches = False
    await world.until(lambda: world.watch.silent_since is not None)
    world.page_reaches = True  # by the third
    await world.until(lambda: world.watch.silent_since is None)
    watching.cancel()
    assert world.watch.offline_since is None


async def test_a_way_that_the_agent_cannot_go_says_nothing_against_the_browser(world: World) -> None:
    world.page_reaches, world.agent_reaches = False, None
    await world.until(lambda: world.watch.silent_since is not None)
    await world.asked_again()
    assert world.watch.offline_since is None


@pytest.mark.parametrize(
    "error",
    [
        "net::ERR_CONNECTION_REFUSED",
        "net::ERR_TIMED_OUT",
        "net::ERR_NAME_NOT_RESOLVED",
        "Page.navigate was not answered",
    ],
)
async def test_a_page_that_cannot_even_be_loaded_has_not_reached_it(world: World, error: str) -> None:
    world.page_reaches, world.load_error = None, f"the site cannot be loaded: {error}"
    await world.until(lambda: world.watch.offline_since is not None)


@pytest.mark.parametrize(
    "error",
    [
        "net::ERR_HTTP_RESPONSE_CODE_FAILURE",
        "net::ERR_EMPTY_RESPONSE",
        "net::ERR_CERT_AUTHORITY_INVALID",
        "net::ERR_TUNNEL_CONNECTION_FAILED",
        "net::ERR_TOO_MANY_REDIRECTS",
    ],
)
async def test_a_site_that_answers_with_what_cannot_be_loaded_is_not_the_browser_s_fault(
    world: World, error: str
) -> None:
    world.load_error = f"the site cannot be loaded: {error}"
    await world.until(lambda: world.watch.silent_since is not None)
    await world.until(lambda: len(world.watch._failures) == ALONE)
    assert world.watch.offline_since is None


async def test_a_page_that_hears_the_site_is_not_cut_off_from_it(world: World) -> None:
    world.page_reaches, world.frame_with_each = False, True
    await world.asked_again(2 * ALONE)
    assert world.watch.silent_since is world.watch.offline_since is None
    world.frame_with_each = False
    await world.until(lambda: world.watch.offline_since is not None)
    world.hear()
    await world.until(lambda: world.watch.offline_since is None)
    await world.until(lambda: world.watch.offline_since is not None)  # what came before says nothing for ever


async def test_a_page_that_says_nothing_is_blamed_for_nothing(world: World) -> None:
    world.page_reaches = None
    await world.asked_again()
    assert world.watch.silent_since is world.watch.offline_since is None


# -- the agent's own way ---------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Answers every HEAD with `status`, or, without one, with nothing. `paths` has what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status: int | None = 200
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.server.paths.append(self.path)
        if self.server.status is None:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        self.send_header("Location", "http://elsewhere.invalid/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 302, 403, 404])
async def test_any_answer_of_the_site_will_do(server: Server, status: int) -> None:
    server.status = status
    assert await reaches(server.url) is True
    assert server.paths == ["/"]


@pytest.mark.parametrize("status", [407, 500, 502, 503, 522])
async def test_a_failure_told_in_the_site_s_place_is_no_answer_of_it(server: Server, status: int) -> None:
    server.status = status
    assert await reaches(server.url) is False


def test_the_page_has_more_time_than_the_agent() -> None:
    bridge = Path(whatsapp.__path__[0], "bridge", "connection.js").read_text()
    page_s = int(re.findall(r"SITE_WITHIN_MS = (\d+)", bridge)[0]) / 1000
    assert WITHIN_S < page_s < SITE_WITHIN_S


async def test_a_connection_without_an_answer_is_none(server: Server) -> None:
    server.status = None
    assert await reaches(server.url) is False
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        assert await reaches(f"http://127.0.0.1:{bound.getsockname()[1]}/") is False
    assert await reaches("http://unknown.invalid/") is False


async def test_it_goes_through_the_proxy_that_the_browser_goes_through(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert await reaches("http://site.invalid/") is True
    assert server.paths == ["http://site.invalid/"]
    server.status = None
    assert await reaches("http://site.invalid/") is False
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert await reaches("http://127.0.0.1:9/") is False  # past it, to nobody


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("all_proxy", "http://127.0.0.1:9"),
        ("auto_proxy", "http://x/a.pac"),
        ("http_proxy", "socks5://127.0.0.1:9"),
        ("http_proxy", "http://name:password@127.0.0.1:9"),
        ("http_proxy", "name:password@127.0.0.1:9"),
    ],
)
async def test_a_way_that_only_a_browser_can_go_is_not_judged(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert await reaches(server.url) is None
    assert server.paths == []
