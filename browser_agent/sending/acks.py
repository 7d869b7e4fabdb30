"""Acknowledgements: how far messages of ours have come, told once for each stage and never backwards.

In a group each member receives and reads; a stage `by` nobody is one that all of them have reached.
"""

import asyncio
import time
from collections.abc import Sequence

from browser_agent.event_log import EventLog
from browser_agent.message_data import person
from browser_agent.whatsapp.models import PageAck
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import EventType, MessageAckData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.send_record import SendRecord

from .outbox import Outbox, ack_claim

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
        wanted = {
            key for key in keys.values() if any(self._is_new(key, ack) for ack in later if keys.get(ack.id) == key)
        }
        records = {record.idempotency_key: record for record in await self._outbox.load_all(sorted(wanted))}
        told = [(records[keys[ack.id]], ack) for ack in later if keys.get(ack.id) in records and ack.ack >= 2]
        # Somebody may have been told of by another address than the one that comes first now.
        others = [ack_claim(record, _stage(ack), who) for record, ack in told for who in _whos(ack)[1:]]
        claimed = await self._outbox.claimed(others)
        for record, ack in told:
            if not any(ack_claim(record, _stage(ack), who) in claimed for who in _whos(ack)[1:]):
                self._tell(record, ack)
        return [ack for ack in later if ack.id not in keys]

    def _is_new(self, key: str, ack: PageAck) -> bool:
        return all(ack.ack > self._told.get((key, who), 1) for who in _whos(ack))

    def _tell(self, record: SendRecord, ack: PageAck) -> None:
        key, whos = record.idempotency_key, _whos(ack)
        if not self._is_new(key, ack):
            return
        stage, told = min(ack.ack, len(STAGES)), _stage(ack)
        data = MessageAckData(
            idempotency_key=key,
            key=record.message_key,
            chat_id=record.chat_id,
            ack=told,  # type: ignore[arg-type]  # one of its words
            by=None if ack.by is None else person(ack.by),
            error=None,
        )
        # A receipt that comes late must not tell less than what was told: the lower stages are claimed with it, and
        # all for each address of whoever it is.
        claims = [ack_claim(record, one, who) for one in STAGES[1:stage] for who in whos]
        now = f"{time.time():.3f}"
        also: list[RedisCommand] = [["ZADD", self._names.claims, *[part for one in claims for part in (now, one)]]]
        if ack.by is None and stage >= (4 if record.is_voice() else 3):
            also.append(self._outbox.at_its_last(record))
        self._event_log.publish(EventType.MESSAGE_ACK, data, claim=ack_claim(record, told, whos[0]), also=also)
        for who in whos:
            self._told.pop((key, who), None)
            self._told[key, who] = stage
        while len(self._told) > TOLD_AT_MOST:
            del self._told[next(iter(self._told))]


def _stage(ack: PageAck) -> str:
    return STAGES[min(ack.ack, len(STAGES)) - 1]


def _whos(ack: PageAck) -> list[str]:
    """By which names somebody may have been told of; one empty name for nobody."""
    known = [] if ack.by is None else [one for one in (ack.by.phone, ack.by.lid) if one]
    return known or [""]
