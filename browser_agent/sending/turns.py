"""Whose turn it is to be given to the page, by what Redis keeps of the pace."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from browser_agent.whatsapp.outgoing import PageOutgoing
from whatsapp_contract.addresses import is_group
from whatsapp_contract.send_record import SendRecord

from . import pacing
from .outbox import Outbox
from .pacing import Line, Rates

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage


class Turns:
    """One per agent. `page` gives the page or raises BrowserGone."""

    def __init__(self, outbox: Outbox, rates: Rates, page: "Callable[[], WhatsAppPage]") -> None:
        self._outbox = outbox
        self._rates = rates
        self._page = page
        self._pacing = asyncio.Lock()
        self._line = Line(rates)
        self._known: set[str] = set()  # chats that are no strangers'; they never become ones again

    def wait_in_chat_s(self, position: int) -> float:
        """How long whoever has so many before it in its chat waits."""
        return pacing.wait_in_chat_s(position, self._rates)

    async def wait_s(self, record: SendRecord, *, take: bool) -> float:
        """How long to wait for a slot; 0 where there is one now, which is taken, or only seen."""
        key, chat_id = record.idempotency_key, record.chat_id
        stranger = await self._is_stranger(chat_id)
        async with self._pacing:
            now, pace = await self._outbox.pace()
            slot = pacing.slot(pace, chat_id, self._rates, now, stranger=stranger)
            if slot.chat_at - now > pacing.SOON_S:
                return slot.chat_at - now
            here = asyncio.get_running_loop().time()
            turn = self._line.turn(key, here + slot.at - now, here, stranger=stranger)
            if turn - here > pacing.SOON_S:
                return min(pacing.WAIT_AT_MOST_S, turn - here)
            if not take:
                return 0.0
            await self._outbox.reserve(slot, now, pace)
            self._line.leave(key)
        await asyncio.sleep(max(0.0, slot.at - now))
        return 0.0

    async def _is_stranger(self, chat_id: str) -> bool:
        if is_group(chat_id) or chat_id in self._known:
            return False
        if await PageOutgoing(self._page()).is_stranger(chat_id):
            return True
        self._known.add(chat_id)
        return False

    def leave(self, key: str) -> None:
        """It has its end."""
        self._line.leave(key)
