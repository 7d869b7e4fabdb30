"""Acknowledgements: how far messages of ours have come, told once for each stage and never backwards.

In a group each member receives and reads; a stage `by` nobody is one that all of them have reached.
"""

import asyncio
import time
from collections.abc import Sequence

from browser_agent.event_log import EventLog
from browser_agent.message_data import person
from browser_agent.whatsapp.models import PageAck
from whatsapp_contract.events import EventType, MessageAckData, Person
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames

from .outbox import Outbox, ack_claim
from .record import SendRecord

log = get_logger(__name__)

STAGES = ("sent", "delivered", "read", "played")
TOLD_AT_MOST = 20_000  # remembered; Redis remembers the others


class Acks:
    """Tells the stages after `sent`, which is a send's own end (see deliveries.py)."""

    def __init__(self, outbox: Outbox, event_log: EventLog, names: SessionNames) -> None:
        self._outbox = outbox
        self._event_log = event_log
        self._names = names
        self._told: dict[tuple[str, str], int] = {}
        self._turn = asyncio.Lock()  # in the order in which they came

    async def tell(self, acks: Sequence[PageAck]) -> list[PageAck]:
        """Tell what is new of sends that went out. Answers those acks that belong to none of them (yet)."""
        later = [ack for ack in acks if ack.ack >= 1]
        if not later:
            return []
        async with self._turn:
            return await self._tell_all(later)

    async def _tell_all(self, later: Sequence[PageAck]) -> list[PageAck]:
        ids = sorted({ack.id for ack in later})
        keys = await self._outbox.keys_of_messages(ids)
        wanted = [
            key for key in keys.values() if any(self._is_new(key, ack) for ack in later if keys.get(ack.id) == key)
        ]
        records = {record.idempotency_key: record for record in await self._outbox.load_all(wanted)}
        for ack in later:
            record = records.get(keys.get(ack.id, ""))
            if record is not None and ack.ack >= 2:
                self._tell(record, ack)
        return [ack for ack in later if ack.id not in keys]

    def _is_new(self, key: str, ack: PageAck) -> bool:
        return ack.ack > self._told.get((key, _who(ack)), 1)

    def _tell(self, record: SendRecord, ack: PageAck) -> None:
        key, who = record.idempotency_key, _who(ack)
        if not self._is_new(key, ack):
            return
        stage = min(ack.ack, len(STAGES))
        told = STAGES[stage - 1]
        data = MessageAckData(
            idempotency_key=key,
            key=record.message_key,
            chat_id=record.chat_id,
            ack=told,  # type: ignore[arg-type]  # one of its words
            by=_person_or_none(ack),
            error=None,
        )
        # A receipt that comes late must not tell less than what was told: the lower stages are claimed with it.
        lower = [ack_claim(key, one, who) for one in STAGES[1 : stage - 1]]
        now = f"{time.time():.3f}"
        also = [["ZADD", self._names.claims, *[part for claim in lower for part in (now, claim)]]] if lower else []
        self._event_log.publish(EventType.MESSAGE_ACK, data, claim=ack_claim(key, told, who), also=also)
        self._told.pop((key, who), None)
        self._told[key, who] = stage
        if len(self._told) > TOLD_AT_MOST:
            del self._told[next(iter(self._told))]


def _who(ack: PageAck) -> str:
    return "" if ack.by is None else ack.by.lid or ack.by.phone or ""


def _person_or_none(ack: PageAck) -> Person | None:
    return None if ack.by is None else person(ack.by)
