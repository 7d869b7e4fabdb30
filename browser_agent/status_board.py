"""Writes the status hash and the QR key, unless a newer agent holds the session."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import redis.asyncio

from whatsapp_contract import event_script
from whatsapp_contract.events import QrOnShow
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.status import HEARTBEAT_S, Status

from .fence import Fence, Fenced

log = get_logger(__name__)


class StatusBoard:
    """`current` gives the status to write; it is written every HEARTBEAT_S and soon after each `poke`."""

    def __init__(
        self, redis: "redis.asyncio.Redis", names: SessionNames, fence: Fence, current: Callable[[], Status]
    ) -> None:
        self._redis = redis
        self._names = names
        self._fence = fence
        self._current = current
        self._changed = asyncio.Event()
        self._qr: QrOnShow | None = None
        self._qr_written: QrOnShow | None = None
        self._away = False

    def poke(self) -> None:
        """Something changed: write it now rather than with the next heartbeat."""
        self._changed.set()

    def show_qr(self, qr: QrOnShow | None) -> None:
        """The code that is on show, or that none is."""
        self._qr = qr
        self.poke()

    async def run(self) -> None:
        """Write until cancelled. Raises Fenced."""
        while True:
            self._changed.clear()
            await self.write()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def write(self) -> None:
        """Write once; an outage of Redis is logged once and left to the next time. Raises Fenced."""
        fields = self._current().to_hash()
        flat = [part for pair in fields.items() for part in pair]
        keys = [self._names.fence, self._names.status]
        try:
            epoch = self._fence.epoch
            written = await self._redis.eval(event_script.WRITE_STATUS_LUA, len(keys), *keys, str(epoch), *flat)
            if not written and epoch == self._fence.epoch:
                raise Fenced
            await self._write_qr()
        except Exception as error:
            if not is_outage(error):
                raise
            if not self._away:
                log.warning("the status cannot be written", error=str(error))
            self._away = True
            return
        self._away = False

    async def _write_qr(self) -> None:
        qr = self._qr
        if qr == self._qr_written:
            return
        if qr is None:
            await self._redis.delete(self._names.qr)
        else:
            left_s = max(1, round((qr.expires_at - datetime.now(UTC)).total_seconds()))
            await self._redis.set(self._names.qr, qr.model_dump_json(), ex=left_s)
        self._qr_written = qr
