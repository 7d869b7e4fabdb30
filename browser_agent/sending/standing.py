"""What has to outlive a Redis: who is never written to, and why nothing is sent.

Redis is asked for both. The session's snapshot has a copy, beside the profile, for the day when Redis has lost its
own: somebody who asked to be left alone must not be written to for that, and a warning of WhatsApp's must not be
forgotten. Sends that wait are not in it.
"""

import asyncio
from pathlib import Path
from typing import Any

import redis.asyncio
from pydantic import BaseModel, ValidationError

from browser_agent.redis_wait import once_redis_answers
from browser_agent.session.local_storage import write_private
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

log = get_logger(__name__)

# KEYS: stop and list. ARGV: why all was stopped ("" = it was not), since when, then who is on the list. Written once,
# into a Redis that nobody has looked into yet: a list that was emptied, and a stop that was ended, are known.
RESTORE_LUA = """
if redis.call('HSETNX', KEYS[1], 'known', '1') == 0 then return 0 end
if ARGV[1] ~= '' and redis.call('HSETNX', KEYS[1], 'stopped', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'since', ARGV[2])
end
for i = 3, #ARGV do redis.call('SADD', KEYS[2], ARGV[i]) end
return 1
"""


class _Kept(BaseModel):
    suppressed: list[str] = []
    stopped: str | None = None
    since: str | None = None


class Standing:
    """One per agent. `path` is the copy beside the profile, which goes into every snapshot."""

    def __init__(self, client: "redis.asyncio.Redis", names: SessionNames, path: Path) -> None:
        self._redis: Any = client  # its types know neither of awaiting nor of decoding
        self._names = names
        self._path = path
        self._newest: _Kept | None = None  # None until it was restored: before that there is nothing to keep

    async def load(self) -> None:
        """Once, when the profile is in place and before anything is sent. Waits for Redis."""
        await once_redis_answers(self.restore)

    async def restore(self) -> None:
        """Write the copy into a Redis that knows of none. Raises redis' own errors."""
        if self._newest is None:
            self._newest = await asyncio.to_thread(self._read)
        kept, names = self._newest, self._names
        args = [kept.stopped or "", kept.since or "", *kept.suppressed]
        restored = await self._redis.eval(RESTORE_LUA, 2, names.sending, names.suppressed, *args)
        if restored and (kept.suppressed or kept.stopped):
            log.warning("Redis has lost who is left alone; it has the session's copy", addresses=len(kept.suppressed))

    async def dump(self) -> str | None:
        """As it is now, or as it was when Redis last answered; None before it was restored."""
        if self._newest is not None:
            try:
                self._newest = await self._ask()
            except Exception as error:
                if not is_outage(error):
                    raise
        return None if self._newest is None else self._newest.model_dump_json()

    async def changed(self) -> None:
        """Keep it beside the profile, as it is now."""
        text = await self.dump()
        if text is not None:
            try:
                await asyncio.to_thread(self._write, text)
            except OSError as error:  # the next snapshot tries again, and tells of the disk
                log.error("who is left alone cannot be kept beside the profile", error=error.strerror)

    async def _ask(self) -> _Kept:
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(self._names.sending, "stopped", "since", "known")
            pipeline.smembers(self._names.suppressed)
            (stopped, since, known), suppressed = await pipeline.execute()
        if known is None and self._newest is not None:
            return self._newest  # this Redis has just lost it all
        return _Kept(suppressed=sorted(suppressed), stopped=stopped, since=since)

    def _write(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._path, text)

    def _read(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Kept()
        except (OSError, ValidationError) as error:
            log.error("the session's copy of who is left alone cannot be read", error=type(error).__name__)
            return _Kept()
