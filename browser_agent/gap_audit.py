"""The gap audit: finds what came while nobody listened, and tells it.

Messages are missed while the page loads (before wa-js listens), while the agent or the container is down, while Redis
is away for long. The page has them all the same, in its store, in its database, or on the phone. On every ready, after
every trouble and every few minutes each followed chat that changed is compared with what was told: keys first, from
the chat's watermark on (and a while before it, since times are not an order), then those that have no claim yet,
oldest first. Only then may the watermarks move again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis.asyncio

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.errors import ContractError, NotFound, NotReady
from whatsapp_contract.events import AlertData, EventType, Person
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.results import BackfillResult

from .event_log import EventLog
from .follow import Follow
from .inbox import Inbox
from .message_data import person
from .watermarks import Watermarks
from .whatsapp.models import PageChat

if TYPE_CHECKING:
    from .whatsapp.history import PageHistory
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

EVERY_S = 300.0
OVERLAP_S = 3600
CHAT_WITHIN_S = 60.0
TOLD_WITHIN_S = 60.0
CLAIMS_AT_ONCE = 1000
PIECES_AT_ONCE = 200
TRIES = 5  # at a chat whose earlier messages cannot be had, before its watermark moves on

PageOf = Callable[[], "WhatsAppPage"]


@dataclass(frozen=True)
class _Missing:
    t: int
    key: str


class GapAudit:
    """One per agent. `page` gives the page or raises BrowserGone; `is_ready` says whether messages flow."""

    def __init__(
        self,
        redis_client: "redis.asyncio.Redis",
        names: SessionNames,
        event_log: EventLog,
        inbox: Inbox,
        follow: Follow,
        watermarks: Watermarks,
        first_login_days: float,
        *,
        page: PageOf,
        is_ready: Callable[[], bool],
    ) -> None:
        self.finished_at: float | None = None  # epoch seconds
        self._redis = redis_client
        self._names = names
        self._event_log = event_log
        self._inbox = inbox
        self._follow = follow
        self._watermarks = watermarks
        self._first_login_days = first_login_days
        self._page = page
        self._is_ready = is_ready
        self._wanted = asyncio.Event()
        self._lock = asyncio.Lock()
        self._interruptions = 0
        self._tries: dict[str, int] = {}  # of chats that could not be read far enough back

    # -- when --------------------------------------------------------------------------------------------------------

    def interrupted(self) -> None:
        """From here on something may be missed: watermarks stand still until an audit has been through."""
        self._interruptions += 1
        self._inbox.is_contiguous = False

    def missed(self) -> None:
        """Something was missed for certain."""
        self.interrupted()
        self.want()

    def want(self) -> None:
        """Audit as soon as messages flow."""
        self._wanted.set()

    def on_ready(self) -> None:
        """Messages flow (again). From the first time on nothing may be missed, whatever happens to this agent next."""
        self._begin(Person(lid=None, phone=None))
        self.want()

    async def run(self) -> None:
        """Audit whenever it is wanted, and every EVERY_S, until cancelled."""
        backoff = Backoff(1.0, 60.0)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._wanted.wait()
            self._wanted.clear()
            if not self._is_ready():
                continue  # ready asks for it again
            try:
                if await self._audit():
                    backoff.reset()
                    continue
            except Exception as error:
                if not isinstance(error, ContractError) and not is_outage(error):
                    raise
                log.warning("the gap audit will be tried again", error=str(error))
            await asyncio.sleep(backoff.next_s())
            self._wanted.set()

    async def backfill(self, chat_id: str | None, days: float | None) -> BackfillResult:
        """Tell what the backend may have missed. Raises NotReady, NotFound, and what the page's calls raise."""
        if not self._is_ready():
            raise NotReady("messages cannot be looked for now")
        started = time.monotonic()
        async with self._lock:
            chats = [chat for chat in await self._followed() if chat_id is None or chat.id == chat_id]
            if chat_id is not None and not chats:
                raise NotFound("no followed chat has this id")
            floor = None if days is None else time.time() - days * 86_400
            told, incomplete = 0, 0
            for chat in chats:
                since = self._floor(chat) if floor is None else floor
                keys, complete = await self._history().keys_since(chat.id, since, CHAT_WITHIN_S)
                incomplete += not complete
                missing = [_Missing(t or 0, key) for key, t in keys]
                if floor is None:
                    missing = await self._unclaimed(missing)
                told += await self._tell(missing, again=floor is not None)
            await self._history().forget()
        took_ms = round((time.monotonic() - started) * 1000, 1)
        return BackfillResult(chats=len(chats), told=told, complete=not incomplete, took_ms=took_ms)

    # -- the audit ---------------------------------------------------------------------------------------------------

    async def _audit(self) -> bool:
        """Whether nothing is missing any more."""
        async with self._lock:
            interruptions = self._interruptions
            await self._know_the_account()
            chats = await self._changed()
            missing, short = await self._missing(chats)
            told = await self._tell(missing)
            await self._history().forget()
            if missing:
                log.info("messages that had been missed were told", told=told, chats=len(chats))
            if interruptions != self._interruptions:
                return False
            self._resume(short)
            self.finished_at = time.time()
            return not short

    async def _know_the_account(self) -> None:
        """The base of an account that was never ready here; marks that Redis has lost."""
        self._begin(person(await self._page().account()))
        await self._event_log.flushed(TOLD_WITHIN_S)
        if not await self._redis.exists(self._names.watermarks):
            self._event_log.write(self._watermarks.all_commands())

    def _begin(self, account: Person) -> None:
        # Messages have whole seconds: one of this very second is new.
        begins = int(time.time() - self._first_login_days * 86_400) - 1
        commands = self._watermarks.begin(account, begins)
        if commands:
            self._event_log.write(commands)

    async def _followed(self) -> list[PageChat]:
        chats = await self._history().chats()
        return [chat for chat in chats if self._follow.follows(chat.id, chat.name, chat.is_group)]

    async def _changed(self) -> list[PageChat]:
        """Followed chats whose last message is later than where an audit of them begins; that one first."""
        changed = [chat for chat in await self._followed() if chat.t is not None and chat.t > self._floor(chat)]
        return sorted(changed, key=lambda chat: chat.t or 0)

    def _floor(self, chat: PageChat) -> float:
        """Epoch seconds from which on a chat's messages must have been told."""
        since = max(float(self._watermarks.base_t()), self._follow.followed_since_s(chat.id, chat.name, chat.is_group))
        mark = self._watermarks.of(chat.id)
        return since if mark is None else max(since, mark.t - OVERLAP_S)

    async def _missing(self, chats: list[PageChat]) -> tuple[list[_Missing], set[str]]:
        """What has no claim, oldest first, and the chats whose past could not be read far enough back."""
        missing: list[_Missing] = []
        short: set[str] = set()
        for chat in chats:
            keys, complete = await self._history().keys_since(chat.id, self._floor(chat), CHAT_WITHIN_S)
            if complete:
                self._tries.pop(chat.id, None)
            elif self._has_tries_left(chat):
                short.add(chat.id)
            missing += await self._unclaimed([_Missing(t or 0, key) for key, t in keys])
        return sorted(missing, key=lambda one: one.t), short

    def _has_tries_left(self, chat: PageChat) -> bool:
        self._tries[chat.id] = self._tries.get(chat.id, 0) + 1
        if self._tries[chat.id] < TRIES:
            log.warning("a chat's earlier messages cannot be had yet", tries=self._tries[chat.id])
            return True
        if self._tries[chat.id] == TRIES:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._floor(chat)))
            message = (
                f"Messages of {chat.id} since {since} may be missing: the page could not get them in {TRIES} tries. "
                "The command backfill with chat_id and days asks again."
            )
            log.error("a gap stays open", tries=TRIES)
            self._event_log.publish(EventType.ALERT, AlertData(code="gap_not_closed", message=message))
        return False

    async def _unclaimed(self, found: list[_Missing]) -> list[_Missing]:
        unclaimed: list[_Missing] = []
        for begin in range(0, len(found), CLAIMS_AT_ONCE):
            some = found[begin : begin + CLAIMS_AT_ONCE]
            scores: Any = await self._redis.zmscore(self._names.claims, [one.key for one in some])
            unclaimed += [one for one, score in zip(some, scores, strict=True) if score is None]
        return unclaimed

    async def _tell(self, missing: list[_Missing], *, again: bool = False) -> int:
        """Have them published, wait until they are in the stream, and answer how many were told."""
        outcomes: list[bool] = []
        for begin in range(0, len(missing), PIECES_AT_ONCE):
            keys = [one.key for one in missing[begin : begin + PIECES_AT_ONCE]]
            for message in await self._history().messages(keys):
                if message is None:
                    continue
                self._inbox.tell(message, "backfill", again=again, sent=outcomes.append)
            if not await self._event_log.flushed(TOLD_WITHIN_S):
                raise NotReady("Redis does not take the events at present")
        return sum(outcomes)

    def _resume(self, short: set[str]) -> None:
        """Nothing is missing up to here: watermarks move to each chat's last message, and with live ones again."""
        commands = []
        for chat_id, (t, key) in self._inbox.latest.items():
            command = self._watermarks.advancing(chat_id, key, t) if chat_id not in short else None
            if command is not None:
                commands.append(command)
                self._watermarks.advanced(chat_id, key, t)
        self._inbox.latest.clear()
        self._inbox.is_contiguous = not short
        if commands:
            self._event_log.write(commands)

    def _history(self) -> "PageHistory":
        from .whatsapp.history import PageHistory

        return PageHistory(self._page())
