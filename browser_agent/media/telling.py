"""What the keeper has the event log do, and waits for."""

import asyncio
from collections.abc import Callable, Sequence

from browser_agent.event_log import EventLog
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.media_record import MediaRecord

TOLD_WITHIN_S = 600.0


class Telling:
    """One per keeper."""

    def __init__(self, event_log: EventLog, within_s: float = TOLD_WITHIN_S) -> None:
        self._event_log = event_log
        self._within_s = within_s

    async def media(
        self, record: MediaRecord, also: Sequence[RedisCommand], late: Callable[[], None], *, again: bool = False
    ) -> bool:
        """Tell a file's end once (or, with `again`, once more), and do what goes with it in the same step.

        False where it is not known to be in Redis, and the file is due as it was; `late` is called if it gets there
        after all.
        """
        sent = _Sent(self._within_s, late)
        claim = None if again else f"media:{record.key}:{record.seen_at}:{record.round}"
        self._event_log.publish(EventType.MEDIA, record.told(), claim=claim, also=also, sent=sent.set)
        told = await sent.is_told()
        if told is False:
            # It was told before, and what went with it was done then: whoever made it due again is answered.
            return await self.written(also)
        return told is True

    async def written(self, commands: Sequence[RedisCommand]) -> bool:
        """Whether it is known to be in Redis."""
        sent = _Sent(self._within_s, lambda: None)
        self._event_log.write(commands, sent.set)
        return await sent.is_told() is not None

    def write(self, commands: Sequence[RedisCommand]) -> None:
        """As `written`, without waiting."""
        self._event_log.write(commands)

    def after_what_is_queued(self, then: Callable[[], None]) -> None:
        self._event_log.write((), lambda _told: then())

    def alert(self, code: str, message: str) -> None:
        self._event_log.publish(EventType.ALERT, AlertData(code=code, message=message))


class _Sent:
    """Whether something that was queued for Redis is there."""

    def __init__(self, within_s: float, late: Callable[[], None]) -> None:
        self._within_s = within_s
        self._late = late
        self._future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def set(self, told: bool) -> None:
        if not self._future.done():
            self._future.set_result(told)
        elif told:
            self._late()

    async def is_told(self) -> bool | None:
        """None where it took too long, or was dropped from the queue: it is due as it was."""
        try:
            async with asyncio.timeout(self._within_s):
                return await self._future
        except TimeoutError:
            return None
