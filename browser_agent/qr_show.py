"""The code to be scanned, shown wherever a person may look: as an event, in Redis, on the console."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from whatsapp_contract import qr
from whatsapp_contract.events import EventType, QrData, QrOnShow

from .event_log import EventLog
from .status_board import StatusBoard

# How long a code can be scanned: WhatsApp Web shows the first of a page for about 60 s, each further one for 20 s.
FIRST_S, NEXT_S = 60.0, 20.0


class QrShow:
    """`aside` runs what need not be waited for."""

    def __init__(
        self,
        event_log: EventLog,
        board: StatusBoard,
        aside: Callable[[Coroutine[Any, Any, None]], None],
        *,
        on_console: bool,
    ) -> None:
        self._event_log = event_log
        self._board = board
        self._aside = aside
        self._on_console = on_console
        self._sequence = 0
        self._of_this_page = 0
        self._expires_at: float | None = None  # loop time

    @property
    def expired_for_s(self) -> float | None:
        """Seconds since the last code of this page expired, negative before; None where it showed none yet."""
        return None if self._expires_at is None else asyncio.get_running_loop().time() - self._expires_at

    def on_document(self) -> None:
        """Another page begins."""
        self._of_this_page = 0
        self._expires_at = None

    def show(self, payload: str) -> None:
        """A code that can be scanned from now on."""
        valid_s = NEXT_S if self._of_this_page else FIRST_S
        self._sequence += 1
        self._of_this_page += 1
        self._expires_at = asyncio.get_running_loop().time() + valid_s
        expires_at = datetime.now(UTC) + timedelta(seconds=valid_s)
        data = QrData(payload=payload, sequence=self._sequence, expires_at=expires_at)
        self._event_log.publish(EventType.QR, data)
        self._board.show_qr(QrOnShow(**data.model_dump()))
        if self._on_console:
            self._aside(_print(payload, valid_s))

    def stand_back(self, for_s: float) -> None:
        """None can be scanned for so long, and none is missed: this device is being linked in another way."""
        self._expires_at = asyncio.get_running_loop().time() + for_s
        self.take_down()

    def come_back(self) -> None:
        """That other way led nowhere: one is missed from now on."""
        self._expires_at = asyncio.get_running_loop().time()

    def take_down(self) -> None:
        """It cannot be scanned any more."""
        self._board.show_qr(None)


async def _print(payload: str, valid_s: float) -> None:
    """On the console, the one place where a code may be read by whoever reads the logs."""
    text = await asyncio.to_thread(qr.as_text, payload)
    sys.stdout.write(f"\nScan with WhatsApp > Linked devices, within {valid_s:.0f} s:\n{text}\n")
    sys.stdout.flush()
