"""What the tries of one life of the agent share: what they use, and what this life knows of sends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatsapp_contract.events import MessageAckData
from whatsapp_contract.send_record import SendRecord

from .acks import Acks
from .files import Files
from .outbox import Outbox
from .outcome import retry_in_s
from .stops import Stops
from .turns import Turns

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

LIVES_S = 24 * 3600.0
PAUSE_AT_MOST_S = 15.0


@dataclass(frozen=True)
class Carried:
    """`retry_in_s` None: the send has its end."""

    retry_in_s: float | None


DONE = Carried(None)


@dataclass
class Life:
    """`page` gives the page or raises BrowserGone; `is_ready` says whether messages flow."""

    outbox: Outbox
    files: Files
    acks: Acks
    turns: Turns
    stops: Stops
    page: "Callable[[], WhatsAppPage]"
    is_ready: Callable[[], bool]
    lives_s: float = LIVES_S  # how old a send may be and still go out

    def __post_init__(self) -> None:
        self.begun: dict[str, str] = {}  # ids of messages of this life, and whose they are
        self.ends: dict[str, SendRecord] = {}  # ends that are decided, and not known to be written
        self._pauses: dict[str, int] = {}  # how often in a row a send was put off without a failure of its own

    def put_off(self, key: str) -> Carried:
        """It is carried again, less and less soon; nothing of its own has failed."""
        pauses = self._pauses[key] = self._pauses.get(key, 0) + 1
        return Carried(min(PAUSE_AT_MOST_S, retry_in_s(pauses - 1)))

    async def end(self, record: SendRecord) -> Carried:
        """Write an end that is decided; raises redis' own errors and NotReady, and it stays decided."""
        key = record.idempotency_key
        self.ends[key] = record
        await self.outbox.end(record, _ack(record))
        del self.ends[key]
        self.begun.pop(record.message_id, None)
        self.forget(key)
        return DONE

    def forget(self, key: str) -> None:
        """It has its end, and nothing is to be kept for it."""
        self.files.drop(key)
        self.turns.leave(key)
        self._pauses.pop(key, None)


def _ack(record: SendRecord) -> MessageAckData:
    return MessageAckData(
        idempotency_key=record.idempotency_key,
        key=record.message_key,
        chat_id=record.chat_id,
        ack="sent" if record.status == "sent" else "failed",
        by=None,
        error=record.error,
        detail=record.detail,
    )
