"""Connections that nobody else may hold for ever: each must ask within some seconds, and there are only so many."""

import asyncio
import ipaddress
import resource
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .throttle import who

ASKS_WITHIN_S = 10.0
MOST = 800
MOST_OF_AN_ADDRESS = 400
_FILES = 4096

_open: Counter[str] = Counter()


def raise_file_limit() -> None:
    """As far as this process may, up to what it can use: each connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class PatientProtocol(H11Protocol):
    """uvicorn's, which waits without end for a request that has begun."""

    _counted_as: str | None = None
    _asks_by: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self._counted_as = who(address)
        _open[self._counted_as] += 1
        # The container's own health command comes from here, and must always come through.
        is_ours = _is_loopback(address)
        if not is_ours and (_open.total() > MOST or _open[self._counted_as] > MOST_OF_AN_ADDRESS):
            transport.close()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        if self._counted_as is not None:
            _open[self._counted_as] -= 1
            if not _open[self._counted_as]:
                del _open[self._counted_as]
            self._counted_as = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # not a whole head yet
            self._wait()
        else:
            self._wait_no_more()

    def _wait(self) -> None:
        if self._asks_by is None:
            self._asks_by = self.loop.call_later(ASKS_WITHIN_S, self._give_up)

    def _wait_no_more(self) -> None:
        if self._asks_by is not None:
            self._asks_by.cancel()
            self._asks_by = None

    def _give_up(self) -> None:
        self._asks_by = None
        if not self.transport.is_closing():
            self.transport.close()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
