"""What every route stands on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.errors import Busy
from whatsapp_contract.settings import Settings

from .auth import Gate
from .feed import Feed
from .reading import Reader
from .status_feed import StatusFeed

if TYPE_CHECKING:
    import redis.asyncio

MOST_CALLS = 40


class CallsAtOnce(AsyncAgentClient):
    """The agent's door for so many at once: each waits on a connection to Redis of its own."""

    def __init__(self, redis: "redis.asyncio.Redis", session_id: str) -> None:
        super().__init__(redis, session_id)
        self._under_way = 0

    async def call(
        self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None
    ) -> BaseModel:
        """As AsyncAgentClient.call. Raises Busy where too many wait already."""
        if self._under_way >= MOST_CALLS:
            raise Busy(f"{MOST_CALLS} commands are waited for already")
        self._under_way += 1
        try:
            return await super().call(name, args, reply_within_s=reply_within_s)
        finally:
            self._under_way -= 1


@dataclass(frozen=True)
class Here:
    """One process' parts."""

    settings: Settings
    client: AsyncAgentClient
    gate: Gate
    reader: Reader
    feed: Feed
    status_feed: StatusFeed
    status_as_json: Callable[[], Awaitable[str]]  # as `status_feed` tells it

    @classmethod
    def of(
        cls, settings: Settings, redis: "redis.asyncio.Redis", gate: Gate, own_redis: "redis.asyncio.Redis"
    ) -> "Here":
        """`own_redis` is for health and status alone: whatever else waits for Redis, they do not wait behind it."""
        client = CallsAtOnce(redis, settings.session_id)
        reader = Reader(AsyncAgentClient(own_redis, settings.session_id), settings)

        async def status_as_json() -> str:
            answer = await reader.described()
            return answer.model_dump_json(exclude={"agent": {"heartbeat_age_s"}})  # it grows by itself

        feed = Feed(redis, client.names)
        return cls(settings, client, gate, reader, feed, StatusFeed(status_as_json), status_as_json)
