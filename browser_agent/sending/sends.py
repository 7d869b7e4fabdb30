"""Messages out, from the command to the last acknowledgement: what the agent and its handlers use."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import redis.asyncio

from browser_agent.event_log import EventLog
from browser_agent.fence import Fence
from browser_agent.session.manifest import SENDING
from browser_agent.whatsapp.models import AcksSeen, PageAck
from browser_agent.whatsapp.outgoing import PageOutgoing
from whatsapp_contract.addresses import canonical
from whatsapp_contract.arguments import SendMediaArgs
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.errors import BadArguments, ContractError, NotFound, NotReady, Refused
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.results import SendResult, SendsStateResult
from whatsapp_contract.send_record import SendArgs, SendRecord, new_record
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState

from .acks import Acks
from .deliveries import Deliveries
from .files import Files
from .life import Carried, Life
from .outbox import Outbox
from .outcome import BLOCK_CODES, CODE_SAYS, Verdict
from .pacing import Rates
from .source import fetching
from .source.rules import Rules
from .standing import Standing
from .stops import Stops
from .turns import Turns

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

log = get_logger(__name__)

ACKS_AT_MOST = 20_000  # that wait for Redis; what does not fit is read back at the next ready
TAKEN_AT_ONCE = 500
ALIASES_WITHIN_S = 0.5

Aside = Callable[[Coroutine[Any, Any, None]], None]


class Sends:
    """One per agent. `page` gives the page or raises BrowserGone; `aside` runs a short task beside."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        settings: Settings,
        event_log: EventLog,
        fence: Fence,
        *,
        page: "Callable[[], WhatsAppPage]",
        is_ready: Callable[[], bool],
        aside: Aside,
    ) -> None:
        self._session_id = settings.session_id
        self._page = page
        self._is_ready = is_ready
        self._aside = aside
        self._files = Files(settings.session_dir / "sending", Rules.from_settings(settings))
        self._outbox = Outbox(client, settings.names, event_log, fence)
        self.standing = Standing(client, settings.names, settings.session_dir / SENDING)
        self._outbox.restore, self._outbox.changed = self.standing.restore, self.standing.changed
        self._acks = Acks(self._outbox, event_log, settings.names)
        rates = Rates(settings.send_rate, settings.send_rate_per_chat, settings.send_rate_strangers)
        self._stops = Stops(self._outbox, event_log)
        turns = Turns(self._outbox, rates, page)
        self._life = Life(self._outbox, self._files, self._acks, turns, self._stops, page, is_ready)
        self._deliveries = Deliveries(self._life)
        self._was: SessionState | None = None
        self._accepting = asyncio.Lock()  # in the order in which they came
        self._untaken: deque[PageAck] = deque(maxlen=ACKS_AT_MOST)
        self._is_taking = False

    # -- commands ----------------------------------------------------------------------------------------------------

    async def accept(self, args: SendArgs) -> SendResult:
        """Keep a send, so that it goes out whatever happens from now on; or say how the one with this key stands.

        Raises BadArguments for an address that can be none and for a key that stands for another content, Refused for
        what may never go out.
        """
        async with self._accepting:
            record = new_record(self._session_id, args, await self._outbox.now())
            known = await self._outbox.load(args.idempotency_key)
            if known is None:
                if isinstance(args, SendMediaArgs):
                    # Links are followed, on a disk that may take its time.
                    await asyncio.to_thread(fetching.check, args.source, self._files.rules)
                if await self._is_suppressed(record.chat_id):
                    raise Refused("this address is on the list of those that are never written to")
                known = await self._outbox.accept(record)
        if known.digest != record.digest:
            raise BadArguments("idempotency_key: it was given before, with another content")
        return known.result()

    async def status(self, key: str) -> SendResult:
        """Raises NotFound."""
        record = await self._outbox.load(key)
        if record is None:
            raise NotFound("there is no send with this key, or no longer")
        if record.status != "queued":
            return record.result()
        return record.result().model_copy(update=await self._waits_for(record))

    async def _waits_for(self, record: SendRecord) -> dict[str, Any]:
        """What of a send that waits is only known now: why it does, and until when."""
        place, due_at = await self._outbox.waiting(record)
        stopped = await self._outbox.stopped()
        if place:
            return {"detail": record.detail or f"it waits for {place} before it in its chat"}
        if stopped is not None:
            return {"detail": f"all sending is stopped: {stopped}"}
        if not self._is_ready():
            detail = record.detail or CODE_SAYS[NotReady.code]
            return {"error": record.error or NotReady.code, "detail": detail}
        if due_at is None:
            return {}
        next_try_at = datetime.fromtimestamp(due_at, UTC)
        return {"next_try_at": next_try_at, "detail": record.detail or "it waits for its turn (SEND_RATE)"}

    async def carry(self, key: str, give_up: str | None) -> Carried:
        """One try; for the worker."""
        return await self._deliveries.carry(key, give_up)

    async def suppress(self, add: Sequence[str], remove: Sequence[str]) -> list[str]:
        """The list of those who are never written to, after these changes."""
        await self._outbox.gate()  # which restores what this Redis has lost
        return await self._outbox.change_suppressed([*map(canonical, add)], [*map(canonical, remove)])

    async def pause(self, cause: str) -> SendsStateResult:
        """Send nothing until `resume`. Where WhatsApp's warning has stopped everything, that stays the reason."""
        await self._stops.pause(cause)
        return await self.state()

    async def resume(self) -> SendsStateResult:
        """Go on with what waits."""
        await self._outbox.resume()
        await self._outbox.wake_all()
        return await self.state()

    async def state(self) -> SendsStateResult:
        return SendsStateResult(stopped=await self._outbox.stopped(), open=await self._outbox.open_count())

    # -- what the session tells --------------------------------------------------------------------------------------

    def on_state(self, state: SessionState, reason: str | None) -> None:
        """The session's state may have changed."""
        if state is self._was:
            return
        self._was = state
        if state is SessionState.READY:
            self._aside(self._survives(self._on_ready()))
        elif state is SessionState.BLOCKED and (reason or "").upper() in BLOCK_CODES:
            self._aside(self._survives(self._stops.stop(Verdict.STOP_BLOCKED)))

    def on_acks(self, event: AcksSeen) -> None:
        """The page tells how far messages have come."""
        self._untaken.extend(event.acks)
        if not self._is_taking:
            self._is_taking = True
            self._aside(self._take_all())

    @property
    def is_carrying(self) -> bool:
        """A try of some send is under way."""
        return self._deliveries.is_carrying

    async def close(self) -> None:
        """End what is under way."""
        await self._deliveries.close()

    # -- details -----------------------------------------------------------------------------------------------------

    async def _on_ready(self) -> None:
        """What came while nobody listened is read back, and what waited for this is carried."""
        await self._outbox.wake_all()
        async for records in self._outbox.recent():
            keys = [record.message_key for record in records if record.message_key]
            if not keys:
                continue
            try:
                await self._take(await PageOutgoing(self._page()).acks_of(keys))
            except ContractError as error:
                log.info("some acknowledgements were not read back", code=error.code, messages=len(keys))

    async def _take_all(self) -> None:
        """What the page has told. While Redis is away it waits."""
        backoff = Backoff(0.2, 5.0)
        try:
            while self._untaken:
                acks = [self._untaken.popleft() for _ in range(min(len(self._untaken), TAKEN_AT_ONCE))]
                try:
                    await self._take(acks)
                except Exception as error:
                    if not is_outage(error):
                        raise
                    room = ACKS_AT_MOST - len(self._untaken)
                    self._untaken.extendleft(reversed(acks[-room:] if room else []))
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._is_taking = False

    async def _take(self, acks: Sequence[PageAck]) -> None:
        """A message that is acknowledged went out, also where the try that sent it has not come to its end."""
        for ack in await self._acks.tell(acks):
            key = self._deliveries.key_of(ack.id)
            if key is not None:
                self._aside(self._survives(self._carry_and_tell(key, ack)))

    async def _carry_and_tell(self, key: str, ack: PageAck) -> None:
        await self._deliveries.carry(key)
        await self._acks.tell([ack])

    async def _survives(self, work: Coroutine[Any, Any, None]) -> None:
        """A task beside the others must not end the agent for what the next ready mends."""
        try:
            await work
        except ContractError as error:
            log.info("sends were not looked after", code=error.code)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("sends were not looked after: Redis is away")

    async def _is_suppressed(self, chat_id: str) -> bool:
        """By all addresses that are known of whoever is behind it; without the page, by the one. It is asked again
        before the message goes out."""
        if not (await self._outbox.gate()).any_suppressed:
            return False
        addresses = {chat_id}
        if self._is_ready():
            with contextlib.suppress(ContractError):
                addresses |= set(await PageOutgoing(self._page()).aliases(chat_id, within_s=ALIASES_WITHIN_S))
        return await self._outbox.is_suppressed(addresses)
