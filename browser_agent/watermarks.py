"""For each chat the message up to which everything was told: where the gap audit begins.

The memory of the agent that holds the session is what counts; Redis has it for the next one (written in one step with
the event that it follows from), and the session's snapshot has it for the day when Redis has lost its own. A chat
without a mark of its own begins at the base: the first login of this account.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import Person
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames

from .redis_wait import once_redis_answers
from .session.local_storage import write_private

log = get_logger(__name__)

_BASE = "*"  # no chat's id


@dataclass(frozen=True)
class Mark:
    """`t` is the message's time, epoch seconds."""

    key: str
    t: int


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)

    key: str = ""
    t: int
    account: dict[str, str] = {}  # of the base: whose login it was; digests of its lid and phone, as far as known


_kept_marks: TypeAdapter[dict[str, _Kept]] = TypeAdapter(dict[str, _Kept])


class Watermarks:
    """One per agent. `path` is the copy beside the profile, which goes into every snapshot."""

    def __init__(self, redis_client: "redis.asyncio.Redis", names: SessionNames, path: Path) -> None:
        self._redis = redis_client
        self._names = names
        self._path = path
        self._marks: dict[str, Mark] = {}
        self._base: _Kept | None = None
        self._loaded = False

    async def load(self) -> None:
        """Once, when the profile is in place: Redis' marks, else those that came with the session. Waits for Redis."""
        if self._loaded:
            return
        kept = _parse(await once_redis_answers(self._ask))
        if _BASE not in kept:  # a Redis that has lost them, and may have some new ones
            kept = await asyncio.to_thread(self._read) | kept
            if kept:
                log.info("watermarks came with the session's snapshot", chats=len(kept))
        self._base = kept.pop(_BASE, None)
        self._marks = {chat: Mark(mark.key, mark.t) for chat, mark in kept.items()}
        self._loaded = True

    def begin(self, account: Person, t: int) -> list[RedisCommand]:
        """The account is ready. At its first login here nothing before `t` is told: the commands that keep this.

        Another account than before leaves no mark of the former one.
        """
        known = {"lid": account.lid, "phone": account.phone}
        digests = {name: hashlib.sha256(value.encode()).hexdigest()[:16] for name, value in known.items() if value}
        commands: list[RedisCommand] = []
        if self._base is None or _is_another(self._base.account, digests):
            self._marks.clear()
            self._base = _Kept(t=t, account=digests)
            commands.append(("DEL", self._names.watermarks))
        elif digests.items() <= self._base.account.items():
            return []
        self._base = self._base.model_copy(update={"account": self._base.account | digests})
        return [*commands, ("HSET", self._names.watermarks, _BASE, self._base.model_dump_json())]

    async def are_lost(self) -> bool:
        """Whether Redis has lost them. Raises redis' errors."""
        return self._base is not None and not await self._redis.hexists(self._names.watermarks, _BASE)

    def on_account_lost(self) -> None:
        """Unlinked. Marks of an account whose name never became known must not pass to the next one."""
        if self._base is not None and not self._base.account:
            self._base = None
            self._marks.clear()

    def of(self, chat_id: str) -> Mark | None:
        return self._marks.get(chat_id)

    def base_t(self) -> int:
        """Epoch seconds; chats without a mark begin after it."""
        return self._base.t if self._base else int(time.time())

    def advancing(self, chat_id: str, key: str, t: int) -> RedisCommand | None:
        """The command that moves a chat's mark, or None where it is there already. A time to come is now."""
        t = min(t, int(time.time()))
        mark = self._marks.get(chat_id)
        if mark is not None and mark.t > t:
            return None
        return ("HSET", self._names.watermarks, chat_id, _Kept(key=key, t=t).model_dump_json())

    def advanced(self, chat_id: str, key: str, t: int) -> None:
        """The command was carried out."""
        t = min(t, int(time.time()))
        mark = self._marks.get(chat_id)
        if mark is None or mark.t <= t:
            self._marks[chat_id] = Mark(key, t)

    def all_commands(self) -> list[RedisCommand]:
        """What writes every mark, for a Redis that has lost them."""
        return [("HSET", self._names.watermarks, chat, kept.model_dump_json()) for chat, kept in self._all().items()]

    def dump(self) -> str | None:
        """All of them as JSON, for the snapshot; None where there are none."""
        kept = self._all()
        return _kept_marks.dump_json(kept).decode() if kept else None

    def save(self) -> None:
        """Keep them beside the profile. Blocking. Raises OSError."""
        if (text := self.dump()) is not None:
            write_private(self._path, text)

    def _all(self) -> dict[str, _Kept]:
        marks = {chat: _Kept(key=mark.key, t=mark.t) for chat, mark in self._marks.items()}
        return {_BASE: self._base, **marks} if self._base else marks

    async def _ask(self) -> dict[str, str]:
        found: Any = await self._redis.hgetall(self._names.watermarks)
        return dict(found)

    def _read(self) -> dict[str, _Kept]:
        try:
            return _kept_marks.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            log.error("the session's watermarks cannot be read", error=type(error).__name__)
            return {}


def _is_another(before: dict[str, str], now: dict[str, str]) -> bool:
    """An account's lid may become known later; as long as one of the two is the same, so is the account."""
    both = before.keys() & now.keys()
    return bool(both) and all(before[name] != now[name] for name in both)


def _parse(found: dict[str, str]) -> dict[str, _Kept]:
    kept = {}
    for chat, text in found.items():
        try:
            kept[chat] = _Kept.model_validate_json(text)
        except ValidationError:
            log.error("a watermark cannot be read; the chat is audited from its base")
    return kept
