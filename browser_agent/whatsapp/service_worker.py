"""Passing by the site's service worker, which answers from what it keeps before anybody else is asked."""

import contextlib
from collections.abc import AsyncIterator

from .cdp import CdpSession

_BYPASS = "Network.setBypassServiceWorker"
WITHIN_S = 2.0


class ServiceWorkerBypass:
    """One per tab. Several may want it at once: the worker answers again when the last of them has let go."""

    def __init__(self, session: CdpSession) -> None:
        self._session = session
        self._holders: set[object] = set()

    async def hold(self, holder: object) -> None:
        """From here on the worker is passed by, until this holder lets go. Raises what CdpSession.call raises, and is
        held also then."""
        self._holders.add(holder)
        await self._session.call(_BYPASS, {"bypass": True}, within_s=WITHIN_S)

    def let_go(self, holder: object) -> None:
        """Also where it does not hold it."""
        if holder in self._holders:
            self._holders.remove(holder)
            if not self._holders:
                self._session.send(_BYPASS, {"bypass": False})

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """For as long as the block takes."""
        holder = object()
        try:
            await self.hold(holder)
            yield
        finally:
            self.let_go(holder)
