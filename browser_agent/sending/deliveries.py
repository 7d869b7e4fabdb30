"""Carrying: one try of one send, from whether it may go at all to what became of it.

Only the head of a chat's sends goes, so that they keep their order; a try runs on its own, and whoever carries asks
for what it came to. A message has an id of ours: before it is sent the page looks for it, so that a try of which
nobody knows the end (the agent was killed, the page was reloaded, the answer was lost) is followed by one that finds
it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from browser_agent.event_log import EventLog
from browser_agent.whatsapp.models import PageAck, SendAnswer
from browser_agent.whatsapp.outgoing import PageOutgoing, TextOut
from browser_agent.whatsapp.page import PageScriptFailed
from whatsapp_contract.errors import ContractError, Expired, NotReady, Refused
from whatsapp_contract.events import AlertData, EventType, MessageAckData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import is_outage

from . import pacing
from .acks import Acks
from .addresses import is_group
from .files import Files, SourceFailed
from .outbox import Outbox
from .outcome import Outcome, Verdict, after_refusal, of_answer, of_failure, retry_in_s
from .pacing import Rates
from .record import Kind, SendRecord

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

log = get_logger(__name__)

LIVES_S = 24 * 3600.0
# Whoever carries is answered by then, and the try goes on: the worker has other sends to carry.
ANSWER_WITHIN_S = 3.0
LOOK_WITHIN_S = 0.2
TEXT_WITHIN_S = 10.0
FILE_WITHIN_S = 120.0
STILL_RETRY_S = 1.0
UNDER_WAY_RETRY_S = 2.0
PAUSE_AT_MOST_S = 15.0
REFUSED_RETRY_S = 5.0
CANCELS_AT_MOST = 5

STOPPED_ALERTS = {
    Verdict.STOP_RATE: "WhatsApp refuses messages of this account: it writes too much, or to strangers.",
    Verdict.STOP_BLOCKED: "WhatsApp has blocked this account.",
}
_ADVICE = (
    " Nothing is sent until `resume_sends`. Look at the account on its phone, and wait for some hours; then send "
    "slower (SEND_RATE, SEND_RATE_STRANGERS)."
)


@dataclass(frozen=True)
class Carried:
    """`retry_in_s` None: the send has its end."""

    retry_in_s: float | None


DONE = Carried(None)


class Deliveries:
    """One per agent. `page` gives the page or raises BrowserGone; `is_ready` says whether messages flow."""

    def __init__(
        self,
        outbox: Outbox,
        event_log: EventLog,
        files: Files,
        acks: Acks,
        rates: Rates,
        *,
        page: "Callable[[], WhatsAppPage]",
        is_ready: Callable[[], bool],
        lives_s: float = LIVES_S,
    ) -> None:
        self._outbox = outbox
        self._event_log = event_log
        self._files = files
        self._acks = acks
        self._rates = rates
        self._page = page
        self._is_ready = is_ready
        self._lives_s = lives_s
        self._tries: dict[str, asyncio.Task[Carried]] = {}
        self._begun: dict[str, str] = {}  # ids of messages of this life, and whose they are
        self._pacing = asyncio.Lock()
        self._stopping = asyncio.Lock()
        self._known: set[str] = set()  # chats that are no strangers'; they never become ones again
        self._refused_in_a_row = 0

    async def carry(self, key: str, give_up: str | None = None) -> Carried:
        """One try, or what one under way has come to by now. Raises redis' own errors while Redis is away."""
        attempt, within_s = self._tries.get(key), LOOK_WITHIN_S
        if attempt is None:
            attempt = self._tries[key] = asyncio.create_task(self._carry(key, give_up))
            within_s = ANSWER_WITHIN_S
        await asyncio.wait([attempt], timeout=within_s)
        if not attempt.done():
            return Carried(STILL_RETRY_S)
        if self._tries.get(key) is attempt:
            del self._tries[key]
        return attempt.result()

    def key_of(self, message_id: str) -> str | None:
        """Whose message it is, where its try began in this life and has not come to its end."""
        return self._begun.get(message_id)

    async def close(self) -> None:
        """End what is under way; the next life of the agent looks for it in the chat."""
        tries = {attempt for attempt in self._tries.values() if not attempt.done()}
        for _ in range(CANCELS_AT_MOST):  # a library's `asyncio.wait_for` may swallow one, on Python 3.11
            if not tries:
                break
            for attempt in tries:
                attempt.cancel()
            _done, tries = await asyncio.wait(tries, timeout=0.1)
        self._files.clear()

    # -- whether it may go -------------------------------------------------------------------------------------------

    async def _carry(self, key: str, give_up: str | None) -> Carried:
        record = await self._outbox.load(key)
        if record is None or record.status != "queued":
            if record is not None:
                await self._outbox.wake_next(record.chat_id)
            return DONE
        if give_up is not None or time.time() - record.accepted_at > self._lives_s:
            return await self._fail(record, give_up or record.error or Expired.code)
        wait_s = await self._wait_s(record)
        if wait_s is not None:
            return Carried(wait_s)
        try:
            return await self._try(record)
        except ContractError as error:
            return await self._put_off(record, error.code, counts=error.code == "internal")
        except Exception as error:
            if not is_outage(error):
                raise
            return Carried(retry_in_s(1))

    async def _wait_s(self, record: SendRecord) -> float | None:
        """How long it has to wait for its turn; None where it may go now."""
        position = await self._outbox.position(record)
        if position > 0:
            return pacing.wait_in_chat_s(position, self._rates)
        if not self._is_ready() or await self._outbox.stopped() is not None:
            return pacing.wait_for_session_s(await self._outbox.open_count())
        return None

    async def _wait_for_slot_s(self, record: SendRecord) -> tuple[SendRecord, float]:
        """Its slot, given to it where it has none that is good: how long to wait for that."""
        if (wait_s := pacing.wait_for_slot_s(record.slot_at, time.time())) is not None:
            return record, wait_s
        stranger = await self._is_stranger(record.chat_id)
        async with self._pacing:
            now, pace = time.time(), await self._outbox.pace()
            slot = pacing.slot(pace, record.chat_id, self._rates, now, stranger=stranger)
            if pacing.is_too_far(slot, now):
                return record, pacing.wait_for_session_s(await self._outbox.open_count())
            record = record.changed(slot_at=slot.at)
            await self._outbox.reserve(slot, record, pace)
        return record, slot.at - now

    async def _is_stranger(self, chat_id: str) -> bool:
        if is_group(chat_id) or chat_id in self._known:
            return False
        if await PageOutgoing(self._page()).is_stranger(chat_id):
            return True
        self._known.add(chat_id)
        return False

    # -- the try -----------------------------------------------------------------------------------------------------

    async def _try(self, record: SendRecord) -> Carried:
        page = PageOutgoing(self._page())
        if await self._outbox.is_suppressed({record.chat_id, *await page.aliases(record.chat_id)}):
            return await self._fail(record, Refused.code)
        if record.tried_at is None:
            record, wait_s = await self._wait_for_slot_s(record)
            if wait_s > 0:
                return Carried(wait_s)
        try:
            answer, record = await self._send(page, record)
        except SourceFailed as failure:
            if failure.is_final:
                return await self._fail(record, failure.code)
            return await self._put_off(record, failure.code, counts=True)
        except _PageFailure as failure:
            return await self._conclude(record, None, of_failure(failure.code, record.failures))
        return await self._conclude(record, answer, of_answer(answer))

    async def _send(self, page: PageOutgoing, record: SendRecord) -> tuple[SendAnswer, SendRecord]:
        try:
            if record.kind is Kind.MEDIA:
                return await self._send_file(page, record)
            record = await self._begin(record)
            if record.kind is Kind.REACTION:
                given = record.args
                return await page.react(given["message_key"], given["reaction"], TEXT_WITHIN_S), record
            out = TextOut(record.args["text"], record.args["mentions"], record.args.get("message_key"))
            return await page.send_text(record.chat_id, record.message_id, out, TEXT_WITHIN_S), record
        except PageScriptFailed as error:
            raise _PageFailure(error.page_code) from error

    async def _send_file(self, page: PageOutgoing, record: SendRecord) -> tuple[SendAnswer, SendRecord]:
        """A file that may have gone out is looked for before it is fetched again."""
        if record.tried_at is not None:
            found = await page.look_for(record.chat_id, record.message_id)
            if found is not None and found.ack >= 0:
                return found, record
        out = await self._files.get(record)
        record = await self._begin(record)
        return await page.send_file(record.chat_id, record.message_id, out, FILE_WITHIN_S), record

    async def _begin(self, record: SendRecord) -> SendRecord:
        """From here on it may go out; that is written down before it does."""
        if not self._is_ready():
            raise NotReady("the session left ready")
        record = record.changed(tried_at=record.tried_at or time.time(), attempts=record.attempts + 1)
        await self._outbox.save(record)
        self._begun[record.message_id] = record.idempotency_key
        return record

    # -- what came of it ---------------------------------------------------------------------------------------------

    async def _conclude(self, record: SendRecord, answer: SendAnswer | None, outcome: Outcome) -> Carried:
        if answer is not None and answer.key:
            record = record.changed(message_key=answer.key)
        match outcome.verdict:
            case Verdict.SENT:
                return await self._sent(record, 1 if answer is None else answer.ack)
            case Verdict.UNDER_WAY:
                await self._outbox.save(record)
                return Carried(min(PAUSE_AT_MOST_S, UNDER_WAY_RETRY_S * record.attempts))
            case Verdict.FAILED:
                return await self._fail(record, outcome.error or Refused.code)
            case Verdict.REFUSED:
                return await self._refused(record)
            case Verdict.STOP_RATE | Verdict.STOP_BLOCKED:
                return await self._stop(record, outcome.verdict)
            case _:
                return await self._put_off(record, outcome.error or "internal", counts=True)

    async def _sent(self, record: SendRecord, ack: int) -> Carried:
        """It went out: the server has it. It may have come further than that while nobody listened."""
        self._refused_in_a_row = 0
        await self._end(record.changed(status="sent", sent_at=time.time(), error=None))
        await self._acks.tell([PageAck(id=record.message_id, ack=ack)])
        return DONE

    async def _fail(self, record: SendRecord, error: str) -> Carried:
        log.warning("a send is given up", error=error, kind=record.kind.value, attempts=record.attempts)
        await self._end(record.changed(status="failed", error=error))
        return DONE

    async def _end(self, record: SendRecord) -> None:
        await self._outbox.end(record, _ack(record))
        self._files.drop(record.idempotency_key)
        self._begun.pop(record.message_id, None)

    async def _put_off(self, record: SendRecord, error: str, *, counts: bool) -> Carried:
        """Another try, later; what is no failure of its own (no page, no link) does not count and waits less."""
        record = record.changed(error=error, failures=record.failures + counts)
        with contextlib.suppress(NotReady):
            await self._outbox.save(record)
        return Carried(retry_in_s(record.failures) if counts else min(PAUSE_AT_MOST_S, retry_in_s(record.attempts)))

    async def _refused(self, record: SendRecord) -> Carried:
        """The server refused it and the page does not say why."""
        self._refused_in_a_row += 1
        record = record.changed(refusals=record.refusals + 1)
        verdict = after_refusal(self._refused_in_a_row, record.refusals)
        if verdict is Verdict.FAILED:
            return await self._fail(record, Refused.code)
        if verdict is Verdict.STOP_RATE:
            return await self._stop(record, verdict)
        record = record.changed(error=Refused.code)
        await self._outbox.save(record)
        return Carried(REFUSED_RETRY_S * record.refusals)

    async def _stop(self, record: SendRecord, verdict: Verdict) -> Carried:
        """All sending is stopped, the send waits."""
        self._refused_in_a_row = 0
        await self._stop_all(verdict)
        return await self._put_off(record, Refused.code, counts=False)

    async def stop_blocked(self) -> None:
        """The session says that the account is blocked."""
        await self._stop_all(Verdict.STOP_BLOCKED)

    async def _stop_all(self, verdict: Verdict) -> None:
        """Stop all sending, and have a person look; once."""
        reason = verdict.value
        async with self._stopping:
            if await self._outbox.stopped() is not None:
                return
            log.error("all sending is stopped", reason=reason)
            alert = AlertData(code="sending_stopped", message=STOPPED_ALERTS[verdict] + _ADVICE)
            self._event_log.publish(EventType.ALERT, alert, also=[self._outbox.stopping(reason)])
            await self._outbox.stop(reason)


class _PageFailure(Exception):
    """The page's function threw."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _ack(record: SendRecord) -> MessageAckData:
    return MessageAckData(
        idempotency_key=record.idempotency_key,
        key=record.message_key,
        chat_id=record.chat_id,
        ack="sent" if record.status == "sent" else "failed",
        by=None,
        error=record.error,
    )
