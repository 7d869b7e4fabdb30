"""Carrying sends: only the head of a chat's goes, so that they keep their order; each try runs on its own, and whoever
carries asks for what it came to."""

import asyncio

from whatsapp_contract.errors import NotReady
from whatsapp_contract.redis_connection import is_outage

from .attempt import STILL_RETRY_S, Attempt
from .life import DONE, Carried, Life

# Whoever carries is answered by then, and the try goes on: the worker has other sends to carry.
ANSWER_WITHIN_S = 3.0
LOOK_WITHIN_S = 0.2
CANCELS_AT_MOST = 5


class Deliveries:
    """One per agent."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._tries: dict[str, asyncio.Task[Carried]] = {}

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
        return self._life.begun.get(message_id)

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
        self._life.files.clear()

    async def _carry(self, key: str, give_up: str | None) -> Carried:
        try:
            if (ending := self._life.ends.get(key)) is not None:
                return await self._life.end(ending)
            record = await self._life.outbox.load(key)
            if record is None or record.status != "queued":
                self._life.forget(key)
                if record is not None:
                    await self._life.outbox.wake_next(record.chat_id)
                return DONE
            return await Attempt(self._life, record, give_up).carry()
        except Exception as error:
            if not is_outage(error) and not isinstance(error, NotReady):
                raise
            return self._life.put_off(key)
