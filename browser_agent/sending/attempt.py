"""One try of one send, from whether it may go at all to what became of it.

A message has an id of ours: where it may have gone out before, the page looks for it first, so that a try of which
nobody knows the end (the agent was killed, the page was reloaded, the answer was lost) is followed by one that finds
it. Looking needs neither slot nor leave; whatever is given to the page goes through one gate.
"""

import contextlib
import time

from browser_agent.whatsapp.models import PageAck, SendAnswer
from browser_agent.whatsapp.outgoing import FileOut, PageOutgoing, TextOut
from browser_agent.whatsapp.page import PageScriptFailed
from whatsapp_contract.addresses import is_group
from whatsapp_contract.errors import ContractError, Expired, Internal, NotReady, Refused
from whatsapp_contract.log_context import send_ref
from whatsapp_contract.logs import get_logger
from whatsapp_contract.send_record import Kind, SendRecord

from . import pacing
from .files import SourceFailed
from .life import DONE, Carried, Life
from .outbox import Gate
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
from .stops import STOPPED_ALERTS

log = get_logger(__name__)

# What may have gone out is looked for so much longer where the page cannot say, and is then told as failed.
LOOKED_FOR_S = 24 * 3600.0
TEXT_WITHIN_S = 10.0
FILE_WITHIN_S = 120.0
# A gate that was passed longer ago than that, because Redis took its time, was not passed.
GATE_GOOD_FOR_S = 1.0
STILL_RETRY_S = 1.0
REFUSED_RETRY_S = 5.0
SOURCE_PATIENCE = 2  # a source is given more time than the page: about a quarter of an hour in all


class Attempt:
    """`record` is the newest there is of it, whoever raises."""

    def __init__(self, life: Life, record: SendRecord, give_up: str | None) -> None:
        self._life = life
        self._outbox = life.outbox
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
            if self._key in self._life.ends:
                raise NotReady("its end is being written") from error
            if error.code == Internal.code:
                return await self._page_failed(error.code)
            await self._save(error=error.code, detail=CODE_SAYS.get(error.code))
            return self._life.put_off(self._key)

    # -- whether it may go -------------------------------------------------------------------------------------------

    async def _wait_s(self) -> float | None:
        """How long it has to wait for its turn; None where the page is to be asked now. Raises _GivenUp."""
        if self._is_told_to_give_up:
            detail = self.record.detail or WORKERS_DIED
            await self._save(given_up=self._give_up, detail=detail)  # the worker does not say so twice
        now = await self._outbox.now()
        age_s, lives_s = self._outbox.age_s(self.record, now), self._life.lives_s
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
                return self._life.turns.wait_in_chat_s(position)
            if await self._outbox.stopped() is not None:
                return pacing.wait_for_session_s(await self._outbox.open_count())
        if not self._life.is_ready():
            return pacing.wait_for_session_s(await self._outbox.open_count())
        return None

    async def _look_and_send(self) -> Carried:
        page = PageOutgoing(self._life.page())
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
            wait_s = await self._life.turns.wait_s(self.record, take=False)
            if wait_s == 0 and not self._life.files.has_room(self._key):
                wait_s = STILL_RETRY_S
            if wait_s > 0:
                return Carried(wait_s)
            out: FileOut | None = await self._life.files.get(self.record)
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
        wait_s = await self._life.turns.wait_s(self.record, take=True)
        if wait_s > 0:
            return wait_s
        gate, passed_at = await self._outbox.gate(), time.monotonic()
        await self._check_suppressed(page, gate)
        if gate.stopped is not None:
            return pacing.wait_for_session_s(await self._outbox.open_count())
        if self._outbox.age_s(self.record, gate.now) > self._life.lives_s:
            raise _GivenUp(self.record.error or Expired.code)
        self._must_be_ready()
        tried_at, attempts = self.record.tried_at or gate.now, self.record.attempts + 1
        self.record = self.record.changed(tried_at=tried_at, attempts=attempts)
        await self._outbox.save(self.record)
        self._must_be_ready()
        if time.monotonic() - passed_at > GATE_GOOD_FOR_S:
            raise NotReady("Redis took its time")
        self._life.begun[self.record.message_id] = self._key
        self._life.files.begun(self._key)
        return 0.0

    def _must_be_ready(self) -> None:
        if not self._life.is_ready():
            raise NotReady("the session left ready")

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
                return self._life.put_off(self._key)
            case Verdict.STOP_RATE | Verdict.STOP_BLOCKED:
                await self._life.stops.stop(outcome.verdict)
                self._life.stops.forget_refusals()
                if is_given_up:
                    return await self._fail(self._give_up or Refused.code)
                await self._save(error=Refused.code, detail=STOPPED_ALERTS[outcome.verdict])
                return self._life.put_off(self._key)
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
        self._life.stops.forget_refusals()
        message_id = self.record.message_id
        self.record = self.record.ended("sent", sent_at=await self._outbox.now(), error=None, detail=None)
        await self._life.end(self.record)
        await self._life.acks.tell([PageAck(id=message_id, ack=ack)])
        return DONE

    async def _fail(self, error: str, detail: str | None = None) -> Carried:
        """Given up. Where it may have gone out, the page has said that it did not before this is called. `detail` is
        why; by default what it waited for."""
        detail = detail or self.record.detail or CODE_SAYS.get(error)
        facts = {"error": error, "detail": detail, "kind": self.record.kind.value, "attempts": self.record.tries}
        log.warning("a send is given up", send=send_ref(self._key), **facts)
        self.record = self.record.ended("failed", error=error, detail=detail)
        return await self._life.end(self.record)

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
        refusals, detail = self.record.refusals + 1, CODE_SAYS[Refused.code]
        self.record = self.record.changed(refusals=refusals, error=Refused.code, detail=detail)
        verdict = after_refusal(self._life.stops.refused(self._key), self.record.refusals)
        if verdict is Verdict.STOP_RATE:
            self._life.stops.forget_refusals()
            await self._life.stops.stop(verdict)
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
