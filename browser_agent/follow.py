"""Which chats are followed now, and since when each has been: kept in Redis, changed by command.

Rules come from FOLLOW_CHATS until a command changes them; a FOLLOW_CHATS that is another than before wins again. Each
change begins an era. A chat is told from the beginning of the last run of eras in which it was followed without a
break, so that taking a chat in does not replay its past, and a change that does not concern it loses nothing of it.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import redis.asyncio
from pydantic import BaseModel, ConfigDict, ValidationError

from whatsapp_contract.errors import StoreUnavailable
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

from .follow_rules import Chat, FollowRules
from .redis_wait import once_redis_answers

log = get_logger(__name__)

ERAS_AT_MOST = 20


class _Era(BaseModel):
    model_config = ConfigDict(frozen=True)

    since: float  # epoch seconds; 0 for the first
    rules: tuple[str, ...]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)

    configured: tuple[str, ...]  # FOLLOW_CHATS at the time
    eras: tuple[_Era, ...]


class Follow:
    """One per agent. Until `load` the configured rules hold. `path` is the copy that came with the session's snapshot,
    for the day when Redis has lost its own."""

    def __init__(
        self, redis_client: "redis.asyncio.Redis", names: SessionNames, configured: tuple[str, ...], path: Path
    ) -> None:
        self._redis = redis_client
        self._names = names
        self._configured = configured
        self._path = path
        self._loaded = False
        self._eras: list[tuple[float, FollowRules]] = [(0, FollowRules(configured))]

    @property
    def rules(self) -> tuple[str, ...]:
        """Those of now."""
        return self._eras[-1][1].rules

    @property
    def since_s(self) -> float | None:
        """When the rules were last changed, epoch seconds; None where they never were."""
        return self._eras[-1][0] or None

    def follows(self, chat: Chat) -> bool:
        """Whether a chat is followed now."""
        return self._eras[-1][1].follows(chat)

    def leaves_out(self, chat: Chat) -> bool:
        """Whether a chat is certainly not followed now, also when its name becomes known."""
        rules = self._eras[-1][1]
        return rules.are_sure_of(chat) and not rules.follows(chat)

    def followed_since_s(self, chat: Chat) -> float:
        """Epoch seconds since when a chat has been followed without a break; 0 for always."""
        since = float("inf")
        for began, rules in reversed(self._eras):
            if not rules.follows(chat):
                break
            since = began
        return since

    async def load(self) -> None:
        """Once, when the profile is in place: the kept rules, else the configured ones. Waits for Redis."""
        if self._loaded:
            return
        await once_redis_answers(self._load)
        self._loaded = True

    async def change(self, rules: tuple[str, ...]) -> None:
        """From now on these. Raises StoreUnavailable while Redis is away: nothing has changed then."""
        try:
            await self._begin(rules)
        except Exception as error:
            if not is_outage(error):
                raise
            raise StoreUnavailable("Redis cannot keep the new rules at present") from error
        log.info("other chats are followed", rules=len(rules))

    async def keep_again(self) -> None:
        """Where Redis has lost them. Raises redis' errors."""
        if not await self._redis.exists(self._names.follow):
            await self._keep(self._eras)

    async def _begin(self, rules: tuple[str, ...]) -> None:
        if FollowRules(rules).rules == self.rules:
            await self._keep(self._eras)
            return
        eras = [*self._eras, (time.time(), FollowRules(rules))]
        if len(eras) > ERAS_AT_MOST:
            # What is forgotten must not end a run of eras: the oldest that is kept takes its time.
            eras = [(eras[0][0], eras[-ERAS_AT_MOST][1]), *eras[1 - ERAS_AT_MOST :]]
        await self._keep(eras)
        self._eras = eras

    async def _load(self) -> None:
        text: Any = await self._redis.get(self._names.follow)
        kept = _parse(text or await asyncio.to_thread(self._read))
        if kept is None:
            await self._keep(self._eras)
            return
        self._eras = [(era.since, FollowRules(era.rules)) for era in kept.eras]
        if kept.configured != self._configured:
            await self._begin(self._configured)
        await self.keep_again()

    def dump(self) -> str:
        """As JSON, for the snapshot."""
        return self._kept(self._eras).model_dump_json()

    def _read(self) -> str | None:
        try:
            return self._path.read_text()
        except OSError:
            return None

    def _kept(self, eras: list[tuple[float, FollowRules]]) -> _Kept:
        kept = tuple(_Era(since=since, rules=rules.rules) for since, rules in eras)
        return _Kept(configured=self._configured, eras=kept)

    async def _keep(self, eras: list[tuple[float, FollowRules]]) -> None:
        await self._redis.set(self._names.follow, self._kept(eras).model_dump_json())


def _parse(text: str | None) -> _Kept | None:
    try:
        kept = _Kept.model_validate_json(text) if text else None
    except ValidationError:
        log.error("the kept rules of what is followed cannot be read; the configured ones hold")
        return None
    return kept if kept and kept.eras else None
