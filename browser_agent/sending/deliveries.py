"""Carrying: one try of one send, from whether it may go at all to what became of it.

Only the head of a chat's sends goes, so that they keep their order; a try runs on its own, and whoever carries asks
for what it came to. A message has an id of ours: where it may have gone out before, the page looks for it first, so
that a try of which nobody knows the end (the agent was killed, the page was reloaded, the answer was lost) is followed
by one that finds it. Looking needs neither slot nor leave; whatever is given to the page goes through one gate.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from browser_agent.event_log import EventLog
from browser_agent.whatsapp.models import PageAck, SendAnswer
from browser_agent.whatsapp.outgoing import FileOut, PageOutgoing, TextOut
from browser_agent.whatsapp.page import PageScriptFailed
from whatsapp_contract.errors import ContractError, Expired, Internal, NotReady, Refused
from whatsapp_contract.events import AlertData, EventType, MessageAckData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import is_outage

from . import pacing
from .acks import Acks
from .addresses import is_group
from .files import Files, SourceFailed
from .outbox import PAUSED, Gate, Outbox
from .outcome import (
    CODE_SAYS,
    GROUP_LOOK_AGAIN_S,
    LINK_BROKE_OFF,
    SUPPRESSED,
    WORKERS_DIED,
    Verdict,
    after_refusal,
    is_known_not_to_go,
    of_answer,
    of_failure,
    page_says,
    retry_in_s,
)
from .pacing import Line, Rates
from .record import Kind, SendRecord

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

log = get_logger(__name__)

LIVES_S = 24 * 3600.0
# What may have gone out is looked for so much longer where the page cannot say, and is then told as failed.
LOOKED_FOR_S = 24 * 3600.0
# Whoever carries is answered by then, and the try goes on: the worker has other sends to carry.
ANSWER_WITHIN_S = 3.0
LOOK_WITHIN_S = 0.2
TEXT_WITHIN_S = 10.0
FILE_WITHIN_S = 120.0
# A gate that was passed longer ago than that, because Redis took its time, was not passed.
GATE_GOOD_FOR_S = 1.0
STILL_RETRY_S = 1.0
PAUSE_AT_MOST_S = 15.0
REFUSED_RETRY_S = 5.0
SOURCE_PATIENCE = 2  # a source is given more time than the page: about a quarter of an hour in all
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
        self._ends: dict[str, SendRecord] = {}  # ends that are decided, and not known to be written
        self._pauses: dict[str, int] = {}  # how often in a row a send was put off without a failure of its own
        self._pacing = asyncio.Lock()
        self._line = Line(rates)
        self._stopping = asyncio.Lock()
        self._known: set[str] = set()  # chats that are no strangers'; they never become ones again
        self._refused: set[str] = set()  # sends that were refused since one went out

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

    @property
    def is_carrying(self) -> bool:
        """A try is under way."""
        return any(not attempt.done() for attempt in self._tries.values())

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

    async def _carry(self, key: str, give_up: str | None) -> Carried:
        try:
            if (ending := self._ends.get(key)) is not None:
                return await self._end(ending)
            record = await self._outbox.load(key)
            if record is None or record.status != "queued":
                self._forget(key)
                if record is not None:
                    await self._outbox.wake_next(record.chat_id)
                return DONE
            return await _Try(self, record, give_up).carry()
        except Exception as error:
            if not is_outage(error) and not isinstance(error, NotReady):
                raise
            return self._paused(key)

    def _paused(self, key: str) -> Carried:
        """It is carried again, less and less soon; nothing of its own has failed."""
        pauses = self._pauses[key] = self._pauses.get(key, 0) + 1
        return Carried(min(PAUSE_AT_MOST_S, retry_in_s(pauses - 1)))

    async def _end(self, record: SendRecord) -> Carried:
        key = record.idempotency_key
        self._ends[key] = record
        await self._outbox.end(record, _ack(record))
        del self._ends[key]
        self._begun.pop(record.message_id, None)
        self._forget(key)
        return DONE

    def _forget(self, key: str) -> None:
        self._files.drop(key)
        self._line.leave(key)
        self._pauses.pop(key, None)

    # -- stops -------------------------------------------------------------------------------------------------------

    async def stop_blocked(self) -> None:
        """The session says that the account is blocked."""
        await self._stop_all(Verdict.STOP_BLOCKED)

    async def pause(self, cause: str) -> None:
        """A person wants nothing to be sent. What WhatsApp has said stays."""
        async with self._stopping:
            stopped = await self._outbox.stopped()
            if stopped is None or stopped.startswith(PAUSED):
                await self._outbox.stop(PAUSED + cause)

    async def _stop_all(self, verdict: Verdict) -> None:
        """Stop all sending, and have a person look; once, also where a person has paused it."""
        reason = verdict.value
        async with self._stopping:
            stopped = await self._outbox.stopped()
            if stopped is not None and not stopped.startswith(PAUSED):
                return
            log.error("all sending is stopped", reason=reason)
            alert = AlertData(code="sending_stopped", message=STOPPED_ALERTS[verdict] + _ADVICE)
            self._event_log.publish(EventType.ALERT, alert, also=[self._outbox.stopping(reason)])
            await self._outbox.stop(reason)


class _Try:
    """`record` is the newest there is of it, whoever raises."""

    def __init__(self, deliveries: Deliveries, record: SendRecord, give_up: str | None) -> None:
        self._all = deliveries
        self._outbox = deliveries._outbox
        self._page = deliveries._page
        self._key = record.idempotency_key
        self.record = record
        self._is_told_to_give_up = give_up is not None and record.given_up is None
        self._give_up = record.given_up or give_up

    async def carry(self) -> Carried:
        """Carry it as far as it goes now."""
        try:
            wait_s = await self._wait_s()
            if wait_s is not None:
                return Carried(wait_s)
            return await self._look_and_send()
        except _GivenUp as why:
            return await self._fail(why.error, why.detail)
        except SourceFailed as failure:
            failures = self.record.source_failures + 1
            self.record = self.record.changed(source_failures=failures)
            if failures >= failure.tries_at_most:
                return await self._fail(failure.code, str(failure))
            await self._save(error=failure.code, detail=str(failure))
            return Carried(retry_in_s(failures + SOURCE_PATIENCE))
        except PageScriptFailed as error:
            return await self._page_failed(error.page_code)
        except ContractError as error:
            if self._key in self._all._ends:
                raise NotReady("its end is being written") from error
            if error.code == Internal.code:
                return await self._page_failed(error.code)
            await self._save(error=error.code, detail=CODE_SAYS.get(error.code))
            return self._all._paused(self._key)

    # -- whether it may go -------------------------------------------------------------------------------------------

    async def _wait_s(self) -> float | None:
        """How long it has to wait for its turn; None where the page is to be asked now. Raises _GivenUp."""
        if self._is_told_to_give_up:
            detail = self.record.detail or WORKERS_DIED
            await self._save(given_up=self._give_up, detail=detail)  # the worker does not say so twice
        now = await self._outbox.now()
        age_s, lives_s = self._outbox.age_s(self.record, now), self._all._lives_s
        if self._give_up is None and age_s > lives_s:
            self._give_up = self.record.error or Expired.code
        if self._give_up is not None:
            if self.record.tried_at is None or age_s > lives_s + LOOKED_FOR_S:
                raise _GivenUp(self._give_up)
        else:
            position = await self._outbox.position(self.record)
            if position < 0:
                return STILL_RETRY_S  # it has ended meanwhile, which must not be written over
            if position > 0:
                return pacing.wait_in_chat_s(position, self._all._rates)
            if await self._outbox.stopped() is not None:
                return pacing.wait_for_session_s(await self._outbox.open_count())
        if not self._all._is_ready():
            return pacing.wait_for_session_s(await self._outbox.open_count())
        return None

    async def _look_and_send(self) -> Carried:
        page = PageOutgoing(self._page())
        if self.record.tried_at is not None:
            found = await self._look(page)
            if found is not None:
                return await self._conclude(found)
        if self._give_up is not None:
            return await self._fail(self._give_up)
        if self.record.tried_at is None and is_group(self.record.chat_id):
            await self._check_group(page)
        await self._check_suppressed(page, await self._outbox.gate())
        if self.record.kind is Kind.MEDIA:
            wait_s = await self._wait_for_slot_s(take=False)
            if wait_s == 0 and not self._all._files.has_room(self._key):
                wait_s = STILL_RETRY_S
            if wait_s > 0:
                return Carried(wait_s)
            out: FileOut | None = await self._all._files.get(self.record)
        else:
            out = None
        wait_s = await self._pass_gate(page)
        if wait_s > 0:
            return Carried(wait_s)
        answer = await self._transmit(page, out)
        return await self._conclude(answer)

    async def _look(self, page: PageOutgoing) -> SendAnswer | None:
        record = self.record
        if record.kind is Kind.REACTION:
            given = record.args
            return await page.look_for_reaction(given["message_key"], given["reaction"])
        return await page.look_for(record.chat_id, record.message_id, is_file=record.kind is Kind.MEDIA)

    async def _check_group(self, page: PageOutgoing) -> None:
        """Raises PageScriptFailed where the page does not have the group, as it does when it is given a message."""
        if not await page.knows_chat(self.record.chat_id):
            raise PageScriptFailed("knowsChat", "group_not_found")

    async def _check_suppressed(self, page: PageOutgoing, gate: Gate) -> None:
        """By all addresses of whoever is behind it. Raises _GivenUp."""
        if not gate.any_suppressed:
            return
        addresses = {self.record.chat_id, *await page.aliases(self.record.chat_id, ask=True)}
        if await self._outbox.is_suppressed(addresses):
            raise _GivenUp(Refused.code, SUPPRESSED)

    async def _pass_gate(self, page: PageOutgoing) -> float:
        """Whatever forbids a message is asked here, right before the page is given it; and that it may have gone out
        from here on is written down. Answers how long it has to wait, 0 where it goes now. Raises _GivenUp."""
        wait_s = await self._wait_for_slot_s(take=True)
        if wait_s > 0:
            return wait_s
        gate, passed_at = await self._outbox.gate(), time.monotonic()
        await self._check_suppressed(page, gate)
        if gate.stopped is not None:
            return pacing.wait_for_session_s(await self._outbox.open_count())
        if self._outbox.age_s(self.record, gate.now) > self._all._lives_s:
            raise _GivenUp(self.record.error or Expired.code)
        self._must_be_ready()
        tried_at, attempts = self.record.tried_at or gate.now, self.record.attempts + 1
        self.record = self.record.changed(tried_at=tried_at, attempts=attempts)
        await self._outbox.save(self.record)
        self._must_be_ready()
        if time.monotonic() - passed_at > GATE_GOOD_FOR_S:
            raise NotReady("Redis took its time")
        self._all._begun[self.record.message_id] = self._key
        self._all._files.begun(self._key)
        return 0.0

    def _must_be_ready(self) -> None:
        if not self._all._is_ready():
            raise NotReady("the session left ready")

    async def _wait_for_slot_s(self, *, take: bool) -> float:
        """How long to wait for a slot; 0 where there is one now, which is taken, or only seen."""
        chat_id, everything = self.record.chat_id, self._all
        stranger = await self._is_stranger()
        async with everything._pacing:
            now, pace = await self._outbox.pace()
            slot = pacing.slot(pace, chat_id, everything._rates, now, stranger=stranger)
            if slot.chat_at - now > pacing.SOON_S:
                return slot.chat_at - now
            here = asyncio.get_running_loop().time()
            turn = everything._line.turn(self._key, here + slot.at - now, here, stranger=stranger)
            if turn - here > pacing.SOON_S:
                return min(pacing.WAIT_AT_MOST_S, turn - here)
            if not take:
                return 0.0
            await self._outbox.reserve(slot, now, pace)
            everything._line.leave(self._key)
        await asyncio.sleep(max(0.0, slot.at - now))
        return 0.0

    async def _is_stranger(self) -> bool:
        chat_id = self.record.chat_id
        if is_group(chat_id) or chat_id in self._all._known:
            return False
        if await PageOutgoing(self._page()).is_stranger(chat_id):
            return True
        self._all._known.add(chat_id)
        return False

    async def _transmit(self, page: PageOutgoing, out: FileOut | None) -> SendAnswer:
        record, args = self.record, self.record.args
        if out is not None:
            return await page.send_file(record.chat_id, record.message_id, out, FILE_WITHIN_S)
        if record.kind is Kind.REACTION:
            return await page.react(args["message_key"], args["reaction"], TEXT_WITHIN_S)
        text = TextOut(args["text"], args["mentions"], args.get("message_key"))
        return await page.send_text(record.chat_id, record.message_id, text, TEXT_WITHIN_S)

    # -- what came of it ---------------------------------------------------------------------------------------------

    async def _conclude(self, answer: SendAnswer) -> Carried:
        outcome = of_answer(answer)
        if answer.key:
            self.record = self.record.changed(message_key=answer.key)
        is_given_up = self._give_up is not None
        match outcome.verdict:
            case Verdict.SENT:
                return await self._sent(max(1, answer.ack))
            case Verdict.UNDER_WAY:
                await self._save()
                return self._all._paused(self._key)
            case Verdict.STOP_RATE | Verdict.STOP_BLOCKED:
                await self._all._stop_all(outcome.verdict)
                self._all._refused.clear()
                if is_given_up:
                    return await self._fail(self._give_up or Refused.code)
                await self._save(error=Refused.code, detail=STOPPED_ALERTS[outcome.verdict])
                return self._all._paused(self._key)
            case Verdict.REFUSED:
                return await self._refused()
            case _ if is_given_up:
                return await self._fail(self._give_up or Refused.code)
            case _:  # broken off with the link: it has as long as a send has
                broken_off = self.record.broken_off + 1
                await self._save(error=outcome.error, detail=LINK_BROKE_OFF, broken_off=broken_off)
                return Carried(retry_in_s(broken_off))

    async def _sent(self, ack: int) -> Carried:
        """It went out: the server has it. It may have come further than that while nobody listened."""
        self._all._refused.clear()
        message_id = self.record.message_id
        self.record = self.record.ended("sent", sent_at=await self._outbox.now(), error=None, detail=None)
        await self._all._end(self.record)
        await self._all._acks.tell([PageAck(id=message_id, ack=ack)])
        return DONE

    async def _fail(self, error: str, detail: str | None = None) -> Carried:
        """Given up. Where it may have gone out, the page has said that it did not before this is called. `detail` is
        why; by default what it waited for."""
        detail = detail or self.record.detail or CODE_SAYS.get(error)
        facts = {"error": error, "detail": detail, "kind": self.record.kind.value, "attempts": self.record.tries}
        log.warning("a send is given up", idempotency_key=self._key, **facts)
        self.record = self.record.ended("failed", error=error, detail=detail)
        return await self._all._end(self.record)

    async def _page_failed(self, page_code: str) -> Carried:
        """The page's function threw. After the last time that is borne it may still have gone out: once more it is
        only looked for."""
        failures = self.record.failures + 1
        unknown_chat, detail = self.record.unknown_chat, page_says(page_code)
        if page_code == "group_not_found" and self.record.tried_at is None:
            unknown_chat += 1
        outcome = of_failure(page_code, self.record.failures, unknown_chat)
        if outcome.verdict is Verdict.FAILED and (
            is_known_not_to_go(page_code, given_up=self._give_up is not None) or self.record.tried_at is None
        ):
            return await self._fail(self._give_up or outcome.error or Internal.code, detail)
        given_up = self._give_up
        if outcome.verdict is Verdict.FAILED:
            given_up = given_up or outcome.error
        changes = {"failures": failures, "unknown_chat": unknown_chat, "given_up": given_up}
        is_group_unknown = unknown_chat > self.record.unknown_chat
        await self._save(error=outcome.error, detail=detail, **changes)
        return Carried(GROUP_LOOK_AGAIN_S if is_group_unknown else retry_in_s(failures))

    async def _refused(self) -> Carried:
        """The server refused it and the page does not say why."""
        self._all._refused.add(self._key)
        refusals, detail = self.record.refusals + 1, CODE_SAYS[Refused.code]
        self.record = self.record.changed(refusals=refusals, error=Refused.code, detail=detail)
        verdict = after_refusal(len(self._all._refused), self.record.refusals)
        if verdict is Verdict.STOP_RATE:
            self._all._refused.clear()
            await self._all._stop_all(verdict)
        if verdict is Verdict.FAILED or self._give_up is not None:
            return await self._fail(self._give_up or Refused.code)
        await self._save()
        return Carried(REFUSED_RETRY_S * self.record.refusals)

    async def _save(self, **changes: object) -> None:
        """Known here at once, whether or not Redis takes it in time."""
        self.record = self.record.changed(**changes)
        with contextlib.suppress(NotReady):
            await self._outbox.save(self.record)


class _GivenUp(Exception):
    """No further try is to be made."""

    def __init__(self, error: str, detail: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.detail = detail


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
