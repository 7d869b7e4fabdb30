"""What is remembered of the cures of a browser's memory, and how long the next has to wait for it.

In Redis, so that an agent's restart forgets nothing; while Redis is away this life's own counts alone.
"""

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import is_outage

if TYPE_CHECKING:
    import redis.asyncio

log = get_logger(__name__)

FIRST_PAUSE_S = 600.0
LONGEST_PAUSE_S = 86_400.0
KEPT_S = 2 * 86_400


class Cures(BaseModel):
    """Those in a row: since memory was last below its limit for a quarter of an hour."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    count: int = 0
    last_at: float | None = None  # when the last began, epoch seconds
    is_told: bool = False  # to a person, that they do not help
    gave_room: bool = False  # the last one; some minutes later memory was below what is urgent

    def last_ago_s(self, now: float) -> float | None:
        """None without one. A time in the future, left by a clock that was set back, counts for nothing."""
        return None if self.last_at is None or self.last_at > now else now - self.last_at

    def pause_s(self, is_urgent: bool) -> float:
        """From the beginning of the last to the next. It doubles; a day once a person was told. Where it is urgent the
        first pause stays, as long as each gives room."""
        if is_urgent and self.gave_room:
            return FIRST_PAUSE_S
        if self.is_told:
            return LONGEST_PAUSE_S
        return min(FIRST_PAUSE_S * 2.0 ** max(self.count - 1, 0), LONGEST_PAUSE_S)

    def with_one_more(self, now: float) -> "Cures":
        return self.model_copy(update={"count": self.count + 1, "last_at": now, "gave_room": False})

    def with_room_given(self) -> "Cures":
        return self.model_copy(update={"gave_room": True})

    def with_person_told(self) -> "Cures":
        return self.model_copy(update={"is_told": True})


class CureMemory:
    """One per agent, and the only one that writes it."""

    def __init__(self, client: "redis.asyncio.Redis", names: InstanceNames) -> None:
        self._redis = client
        self._name = names.memory_cures
        self._known = Cures()
        self._is_loaded = False

    async def read(self) -> Cures:
        if not self._is_loaded:
            try:
                # Shielded, here and below: redis waits with asyncio.wait_for, which may swallow a cancellation.
                kept = _read(await asyncio.shield(self._redis.get(self._name)))
                self._known = self._known if self._known.count else kept
                self._is_loaded = True
            except Exception as error:
                if not is_outage(error):
                    raise
        return self._known

    async def write(self, cures: Cures) -> None:
        self._known = cures
        try:
            await asyncio.shield(self._redis.set(self._name, cures.model_dump_json(), ex=KEPT_S))
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("cures of memory could not be noted", error=str(error))


def _read(kept: str | bytes | None) -> Cures:
    try:
        return Cures() if kept is None else Cures.model_validate_json(kept)
    except ValidationError:
        log.error("what is kept of cures of memory cannot be read")
        return Cures()
