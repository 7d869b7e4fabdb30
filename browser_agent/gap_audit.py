"""The gap audit: finds what came while nobody listened, and tells it.

Messages are missed while the page loads (before wa-js listens), while the agent or the container is down, while Redis
is away for long. The page has them all the same, in its store, in its database, or on the phone. On every ready, after
every trouble and every few minutes the followed chats that changed are compared with what was told, one after another:
keys first, from the chat's watermark on (after an interruption from a while before it, since times are not an order),
then those that have no claim yet, oldest first. Only then may the watermarks move again.

A chat whose earlier messages cannot be had (the phone is off) holds its own watermark alone, and is asked again for a
day. What is not followed has nothing to be told: its watermark moves with it, so that taking it in, by a command or by
a new name, does not replay its past.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis.asyncio

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.errors import ContractError, NotFound, NotReady, PageTimeout
from whatsapp_contract.events import AlertData, EventType, Person
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.results import BackfillResult

from .event_log import EventLog
from .follow import Follow
from .follow_rules import Chat
from .inbox import Inbox
from .message_data import person
from .stream_trimmer import CLAIMS_KEPT_S
from .watermarks import Watermarks
from .whatsapp.models import PageChat

if TYPE_CHECKING:
    from .whatsapp.history import PageHistory
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

EVERY_S = 300.0
OVERLAP_S = 3600
# A chat in which nothing came since before its watermark is looked at again only this long after.
LOOK_AGAIN_FOR_S = 86_400
CHAT_WITHIN_S = 30.0
SLOW_CHAT_WITHIN_S = 3.0  # once the phone was seen not to answer
TOLD_WITHIN_S = 60.0
CLAIMS_AT_ONCE = 1000
PIECES_AT_ONCE = 200
GIVE_UP_AFTER_S = 86_400.0

# Instead of a message's key: the chat was not followed then; the audit found nothing to tell up to there.
NOT_FOLLOWED, _AUDITED = "", "-"

PageOf = Callable[[], "WhatsAppPage"]
Listed = list[tuple[str, int | None]]


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
        give_up_after_s: float = GIVE_UP_AFTER_S,
    ) -> None:
        self._redis = redis_client
        self._names = names
        self._event_log = event_log
        self._inbox = inbox
        self._follow = follow
        self._watermarks = watermarks
        self._first_login_days = first_login_days
        self._page = page
        self._is_ready = is_ready
        self._give_up_after_s = give_up_after_s
        self._wanted = asyncio.Event()
        self._lock = asyncio.Lock()  # the page lists one chat at a time for us
        self._interruptions = 0
        self._short: dict[str, float] = {}  # chats that cannot be read far enough back, by loop time of the first try

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

    def on_account_lost(self) -> None:
        """Unlinked: nothing is missed until the next account is ready, and nothing held for this one."""
        self._watermarks.on_account_lost()
        self._short.clear()
        self._inbox.held.clear()

    async def run(self) -> None:
        """Audit whenever it is wanted, and every EVERY_S, until cancelled."""
        backoff = Backoff(1.0, EVERY_S)
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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_s()):
                    await self._wanted.wait()
            self._wanted.set()

    async def backfill(self, chat_id: str | None, days: float | None) -> BackfillResult:
        """Tell what the backend may have missed. Raises NotReady, NotFound, and what the page's calls raise."""
        if not self._is_ready():
            raise NotReady("messages cannot be looked for now")
        started = time.monotonic()
        chats = [chat for chat in await self._chats() if self._follow.follows(Chat.of(chat))]
        if chat_id is not None:
            chats = [chat for chat in chats if chat_id in Chat.of(chat).ids]
            if not chats:
                raise NotFound("no followed chat has this id")
        since = None if days is None else time.time() - days * 86_400
        told, incomplete = 0, 0
        for chat in chats:
            told_here, complete = await self._tell_missing(chat, since, CHAT_WITHIN_S, again=since is not None)
            told += told_here
            incomplete += not complete
        took_ms = round((time.monotonic() - started) * 1000, 1)
        return BackfillResult(chats=len(chats), told=told, complete=not incomplete, took_ms=took_ms)

    # -- the audit ---------------------------------------------------------------------------------------------------

    async def _audit(self) -> bool:
        """Whether nothing is missing any more."""
        interruptions = self._interruptions
        await self._keep_what_redis_lost()
        chats = await self._chats()
        told, within_s = 0, CHAT_WITHIN_S
        whole: list[PageChat] = []
        for chat in self._changed(chats):
            told_here, complete = await self._tell_missing(chat, None, within_s)
            told += told_here
            self._note(chat, complete)
            if complete:
                whole.append(chat)
            else:
                within_s = SLOW_CHAT_WITHIN_S
            if interruptions != self._interruptions:
                return False
        if told:
            log.info("messages that had been missed were told", told=told)
        self._resume(chats, whole)
        return not self._short

    async def _keep_what_redis_lost(self) -> None:
        """The account, whose base the marks have; and whatever of marks and rules Redis has lost."""
        self._begin(person(await self._page().account()))
        await self._event_log.flushed(TOLD_WITHIN_S)
        if await self._watermarks.are_lost():
            self._event_log.write(self._watermarks.all_commands())
        await self._follow.keep_again()

    def _begin(self, account: Person) -> None:
        # Messages have whole seconds: one of this very second is new.
        begins = int(time.time() - self._first_login_days * 86_400) - 1
        commands = self._watermarks.begin(account, begins)
        if commands:
            self._event_log.write(commands)

    async def _chats(self) -> list[PageChat]:
        return await self._history().chats()

    def _changed(self, chats: list[PageChat]) -> list[PageChat]:
        """Followed chats in which something may be missing; the one that has waited longest first."""
        changed = [
            chat for chat in chats if self._follow.follows(Chat.of(chat)) and self._may_be_missing(chat, time.time())
        ]
        return sorted(changed, key=lambda chat: chat.t or 0)

    def _may_be_missing(self, chat: PageChat, now: float) -> bool:
        if chat.t is None:
            return False
        mark = self._watermarks.of(chat.id)
        if mark is None or chat.t > mark.t:
            return chat.t > self._floor(chat)
        # Its last message was told. Another that came late, or with an older time, may not have been.
        return chat.id in self._inbox.held or (not self._inbox.is_contiguous and now - mark.t < LOOK_AGAIN_FOR_S)

    def _floor(self, chat: PageChat) -> float:
        """Epoch seconds after which all messages of a chat must have been told."""
        since = max(self._watermarks.base_t(), int(self._follow.followed_since_s(Chat.of(chat))) - 1)
        mark = self._watermarks.of(chat.id)
        if mark is None:
            return since
        # What is older than the claims has none any more.
        is_overlapped = mark.key != NOT_FOLLOWED and time.time() - mark.t < CLAIMS_KEPT_S - 2 * LOOK_AGAIN_FOR_S
        return max(since, mark.t - OVERLAP_S if is_overlapped else mark.t)

    async def _tell_missing(
        self, chat: PageChat, since: float | None, within_s: float, *, again: bool = False
    ) -> tuple[int, bool]:
        """How many messages of a chat were told, and whether all that is missing could be had."""
        async with self._lock:
            floor = self._floor(chat) if since is None else since
            try:
                listed, complete = await self._history().keys_since(chat.id, floor, within_s)
            except PageTimeout:
                log.warning("a chat's messages could not be listed in time", within_s=within_s)
                return 0, False
            missing = listed if again else await self._unclaimed(listed)
            missing.sort(key=lambda one: one[1] or 0)
            told = await self._tell(chat, [key for key, _t in missing], again=again)
            await self._history().forget()
            return told, complete

    async def _unclaimed(self, listed: Listed) -> Listed:
        unclaimed: Listed = []
        for begin in range(0, len(listed), CLAIMS_AT_ONCE):
            some = listed[begin : begin + CLAIMS_AT_ONCE]
            scores: Any = await self._redis.zmscore(self._names.claims, [key for key, _t in some])
            unclaimed += [one for one, score in zip(some, scores, strict=True) if score is None]
        return unclaimed

    async def _tell(self, chat: PageChat, keys: list[str], *, again: bool) -> int:
        """Have them published, wait until they are in the stream, and answer how many were told."""
        outcomes: list[bool] = []
        for begin in range(0, len(keys), PIECES_AT_ONCE):
            some = keys[begin : begin + PIECES_AT_ONCE]
            for key, message in zip(some, await self._history().messages(some), strict=True):
                if message is None:
                    self._alert_unreadable(chat, key)
                else:
                    self._inbox.tell(message, "backfill", again=again, sent=outcomes.append)
            if not await self._event_log.flushed(TOLD_WITHIN_S):
                raise NotReady("Redis does not take the events at present")
        return sum(outcomes)

    def _alert_unreadable(self, chat: PageChat, key: str) -> None:
        """Told once; the message itself may still be, should it become readable."""
        log.error("a message cannot be read")
        message = f"A message of {chat.id} cannot be read, and is not told: {key[:300]}"
        data = AlertData(code="message_unreadable", message=message)
        self._event_log.publish(EventType.ALERT, data, claim=f"unreadable:{key}"[:2000])

    def _note(self, chat: PageChat, complete: bool) -> None:
        """A chat that is short holds its watermark, for a day."""
        now = asyncio.get_running_loop().time()
        if complete:
            self._short.pop(chat.id, None)
            self._inbox.held.discard(chat.id)
        elif now - self._short.setdefault(chat.id, now) < self._give_up_after_s:
            self._inbox.held.add(chat.id)
        else:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._floor(chat)))
            message = (
                f"Messages of {chat.id} since {since} may be missing: the page could not get them for a day. "
                "The command backfill with chat_id and days asks again."
            )
            log.error("a gap stays open")
            self._event_log.publish(EventType.ALERT, AlertData(code="gap_not_closed", message=message))
            del self._short[chat.id]
            self._inbox.held.discard(chat.id)

    def _resume(self, chats: list[PageChat], whole: list[PageChat]) -> None:
        """Nothing is missing up to here: watermarks move to each chat's last message, and with live ones again."""
        latest = dict(self._inbox.latest)
        for chat in whole:  # its last may be something that is not for people
            latest[chat.id] = max(latest.get(chat.id, (0, "")), (chat.t or 0, _AUDITED))
        for chat in chats:
            if chat.t is not None and self._follow.leaves_out(Chat.of(chat)):
                latest[chat.id] = (chat.t, NOT_FOLLOWED)
        moved = [one for one in latest.items() if one[0] not in self._inbox.held and self._is_behind(*one)]
        commands = [self._watermarks.advancing(chat_id, key, t) for chat_id, (t, key) in moved]
        for chat_id, (t, key) in moved:
            self._watermarks.advanced(chat_id, key, t)
        self._inbox.latest.clear()
        self._inbox.is_contiguous = True
        if moved:
            self._event_log.write([command for command in commands if command is not None])

    def _is_behind(self, chat_id: str, last: tuple[int, str]) -> bool:
        mark = self._watermarks.of(chat_id)
        return mark is None or mark.t < last[0]

    def _history(self) -> "PageHistory":
        from .whatsapp.history import PageHistory

        return PageHistory(self._page())
