"""Takes events out of the stream, as the only consumer of the webhook's group, and hands them to the lanes."""

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.following import says_group_gone
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.webhooks import read_letter

from .hook import Hook
from .lanes import Job, Lanes
from .lease import Lease

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

CONSUMER = "webhooks"  # of every container: what one that died had in hand is the next one's
IN_HAND_AT_MOST = 200
READ_AT_ONCE = 50
SLICE_S = 1.0
REPLAYS_AT_ONCE = 20
REPLAYS = "replays"  # their lane; no chat is called so


class Reader:
    """`pass_over` is told the ids of entries that are not to be delivered."""

    def __init__(
        self,
        redis: "redis.Redis",
        names: SessionNames,
        hook: Hook,
        lease: Lease,
        lanes: Lanes,
        pass_over: Callable[[list[str]], None],
    ) -> None:
        self._redis, self._names, self._hook = redis, names, hook
        self._lease, self._lanes, self._pass_over = lease, lanes, pass_over
        self._backoff = Backoff(0.1, 5.0)
        self._away = False
        self._after = "0"
        self._to_start_over = threading.Event()
        self._has_group = False

    def start_over(self) -> None:
        """What was given and not acknowledged comes first again. From another thread."""
        self._to_start_over.set()

    def run(self) -> None:
        """For ever, through every outage of Redis."""
        while True:
            self._lease.wait()
            try:
                self._turn()
            except Exception as error:
                if isinstance(error, ResponseError) and says_group_gone(error):
                    log.warning("the webhook's group is gone and is made anew", webhook=self._hook.host)
                    self._make_group("0")  # whatever the stream holds now, this group has not seen it
                elif is_outage(error):
                    self._tell(away=True)
                    self._after = "0"  # an answer that was lost may have given us entries
                    time.sleep(self._backoff.next_s())
                else:
                    raise
            else:
                self._tell(away=False)

    def _turn(self) -> None:
        if self._to_start_over.is_set():
            self._to_start_over.clear()
            self._lanes.drop()  # also what this thread has just added: what comes first must come first
            self._after = "0"
        if not self._has_group:
            self._make_group("$")  # an address that is new hears from now on
            self._has_group = True
        if not self._lanes.wait_for_room(IN_HAND_AT_MOST, SLICE_S):
            return
        self._add_replays()
        after = self._after
        found: Any = self._redis.xreadgroup(
            self._hook.group, CONSUMER, {self._names.events: after}, READ_AT_ONCE, int(SLICE_S * 1000)
        )
        entries = [entry for _stream, entries in found or [] for entry in entries]
        self._add(entries)
        if after != ">":
            self._after = entries[-1][0] if entries else ">"

    def _make_group(self, after: str) -> None:
        try:
            self._redis.xgroup_create(self._names.events, self._hook.group, after, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _add(self, entries: list[tuple[str, dict[str, str] | None]]) -> None:
        passed = []
        trimmed = [entry_id for entry_id, fields in entries if not fields]
        if trimmed:
            log.error(
                "events were trimmed away before a webhook had them", webhook=self._hook.host, count=len(trimmed)
            )
        for entry_id, fields in entries:
            job = _job(entry_id, fields, self._hook) if fields else None
            if job is None:
                passed.append(entry_id)
            else:
                self._lanes.add(job)
        if passed:
            self._pass_over(passed)

    def _add_replays(self) -> None:
        ids: Any = self._redis.lrange(self._names.webhook_replays(self._hook.id), 0, REPLAYS_AT_ONCE - 1)
        if not ids:
            return
        letters: Any = self._redis.hmget(self._names.webhook_letters(self._hook.id), ids)
        for letter_id, found in zip(ids, letters, strict=True):
            letter = read_letter(found) if found is not None else None
            if letter is None:
                if found is not None:
                    log.error("a dead letter cannot be read and is not tried", webhook=self._hook.host, id=letter_id)
                # Else it had to make room, or somebody took it away.
                self._redis.lrem(self._names.webhook_replays(self._hook.id), 0, letter_id)
                continue
            entry = letter_id.partition("-")[2]
            self._lanes.add(Job(letter_id, entry, REPLAYS, letter.body.encode(), letter_id, letter.attempts))

    def _tell(self, *, away: bool) -> None:
        if away and not self._away:
            log.warning("waiting for Redis", webhook=self._hook.host)
        if self._away and not away:
            log.info("Redis is back", webhook=self._hook.host)
        if not away:
            self._backoff.reset()
        self._away = away


def _job(entry_id: str, fields: dict[str, str], hook: Hook) -> Job | None:
    """None for what is not to be delivered. The body is as the event is told on the channel, to the byte."""
    try:
        text = fields["event"]
        event = json.loads(text)
        is_wanted, data = event["type"] in hook.events, event["data"]
        body = f'{text[: text.rindex("}")]},"id":"{entry_id}"}}'.encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        log.error("an event cannot be read and is passed over", id=entry_id, error=type(error).__name__)
        return None
    if not is_wanted:
        return None
    chat = data.get("chat_id") if isinstance(data, dict) else None
    return Job(entry_id, entry_id, chat if isinstance(chat, str) else "", body)
