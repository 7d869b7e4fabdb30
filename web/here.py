"""What every route stands on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.settings import Settings

from .auth import Gate
from .feed import Feed
from .reading import Reader
from .status_feed import StatusFeed

if TYPE_CHECKING:
    import redis.asyncio


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
    def of(cls, settings: Settings, redis: "redis.asyncio.Redis", gate: Gate) -> "Here":
        client = AsyncAgentClient(redis, settings.session_id)
        reader = Reader(client, settings)

        async def status_as_json() -> str:
            answer = await reader.described()
            return answer.model_dump_json(exclude={"agent": {"heartbeat_age_s"}})  # it grows by itself

        feed = Feed(redis, client.names)
        return cls(settings, client, gate, reader, feed, StatusFeed(status_as_json), status_as_json)
