"""A page that is none: what it is asked of messages out is answered here, so that a test can say what goes wrong when.

For what no real page can be brought to at a given moment; everything else is tried on a real one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from browser_agent.fence import Fence
from whatsapp_contract.redis_connection import connect_async

from .redis_server import RedisServer
from .small_agent import NAMES, SmallAgent, ended, settings_in

Answer = dict[str, Any]
Hook = Callable[["FakePage", dict[str, Any]], Awaitable[Answer | None]]


class _Session:
    async def call(self, _method: str, _params: Any = None, within_s: float = 0) -> Any:
        return {"result": {"objectId": "1"}}

    def send(self, *_: Any) -> None:
        pass


class FakePage:
    """`out` has what went out, by id: when, to whom, the text. `on_deliver` may answer, or raise, instead; `on_look`
    the same where the page is only to look."""

    snapshot = None

    def __init__(self) -> None:
        self.session = _Session()
        self.out: dict[str, tuple[float, str, str | None]] = {}
        self.strangers: set[str] = set()
        self.unknown: set[str] = set()
        self.aliases: dict[str, list[str]] = {}
        self.looks = 0
        self.transmissions: list[tuple[float, str]] = []
        self.read_back: list[list[str]] = []
        self.acks: dict[str, Any] = {}
        self.on_deliver: Hook | None = None
        self.on_look: Hook | None = None

    def went_out(self, what: dict[str, Any]) -> Answer:
        self.out.setdefault(what["id"], (time.time(), what["to"], what.get("text")))
        return answer(what, 1, "OK")

    async def call(self, name: str, *given: Any, within_s: float = 0) -> Any:
        match name:
            case "aliases":
                return self.aliases.get(given[0], [])
            case "knowsChat":
                return given[0] not in self.unknown
            case "isStranger":
                return given[0] in self.strangers
            case "acksOf":
                self.read_back.append(list(given[0]))
                found = [self.acks.get(key, []) for key in given[0]]
                for one in found:
                    if isinstance(one, Exception):
                        raise one
                return [ack for acks in found for ack in acks]
            case "deliver":
                return await self._deliver(given[0])
        return None

    async def _deliver(self, what: dict[str, Any]) -> Answer:
        look_only = what.get("lookOnly", False)
        if look_only:
            self.looks += 1
        else:
            self.transmissions.append((time.time(), what["id"]))
        hook = self.on_look if look_only else self.on_deliver
        if hook is not None and (said := await hook(self, what)) is not None:
            return said
        if what["id"] in self.out:
            return answer(what, 1)
        return answer(what, -1, "NOT_FOUND") if look_only else self.went_out(what)


def answer(what: dict[str, Any], ack: int, result: str | None = None, code: str | None = None) -> Answer:
    return {"key": f"true_{what['to']}_{what['id']}", "ack": ack, "result": result, "code": code}


async def never(_page: FakePage, _what: dict[str, Any]) -> None:
    """A hook for what is not to be given to the page."""
    raise AssertionError("this is not to be given to the page")


class FakedAgent(SmallAgent):
    """Ready as long as it has a page."""

    def is_ready(self) -> bool:
        return self.page is not None

    @property
    def faked(self) -> FakePage:
        assert isinstance(self.page, FakePage)
        return self.page

    async def record(self, key: str) -> Any:
        return await self.sends._outbox.load(key)

    async def carry(self, key: str, give_up: str | None = None) -> float | None:
        """One try, to its end."""
        carried = await self.sends.carry(key, give_up)
        while key in self.sends._deliveries._tries:
            carried = await self.sends.carry(key, give_up)
        return carried.retry_in_s


@contextlib.asynccontextmanager
async def faked_agent(
    server: RedisServer, folder: Path, *, working: bool = True, **variables: str
) -> AsyncIterator[FakedAgent]:
    """A life of the agent on a page that is none; without a worker sends are carried by the test alone."""
    with settings_in(folder, "http://localhost/", **variables) as settings:
        async with connect_async(server.url) as client:
            fence = Fence(client, NAMES)
            await fence.take()
            agent = FakedAgent(client, settings, fence)
            agent.page = FakePage()  # type: ignore[assignment]
            running = [asyncio.create_task(agent.event_log.run())]
            running += [asyncio.create_task(agent.work())] if working else []
            try:
                yield agent
            finally:
                await agent.sends.close()
                await ended({*running, *agent.tasks})
