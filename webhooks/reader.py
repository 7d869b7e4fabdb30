"""Takes events out of the stream, as the only consumer of the webhook's group, and hands them to the lanes."""

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.following import says_group_gone
from whatsapp_contract.kept_records import read_kept
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.webhooks import DeadLetter

from .hook import Hook
from .lanes import Job, Lanes
from .lease import Lease

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

CONSUMER = "webhooks"  # of every container: what one that died had in hand is the next one's
IN_HAND_AT_MOST = 200
LANE_AT_MOST = 20  # of one chat, where nothing else has room
READ_AT_ONCE = 50
SLICE_S = 1.0
REPLAYS_AT_ONCE = 20
REPLAYS = "replays"  # their lane; no chat is called so


class Reader:
    """`pass_over` is told the ids of entries that are not to be delivered. An address that is new hears what was told
    since `service_started_at` (epoch seconds); from now on where that is not known."""

    def __init__(
        self,
        redis: "redis.Redis",
        names: SessionNames,
        hook: Hook,
        lease: Lease,
        lanes: Lanes,
        pass_over: Callable[[list[str]], None],
        service_started_at: float | None,
    ) -> None:
        self._service_started_at = service_started_at
        self._redis, self._names, self._hook = redis, names, hook
        self._lease, self._lanes, self._pass_over = lease, lanes, pass_over
        self._backoff = Backoff(0.1, 5.0)
        self._away = False
        self._after = "0"
        self._cut: dict[str, str] = {}  # lanes that are cut, and the first event that was left out
        # Lanes that are read again, and from which event on; None where all are.
        self._again: dict[str, tuple[int, int]] | None = None
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
                    self._from_the_start()  # an answer that was lost may have given us entries
                    time.sleep(self._backoff.next_s())
                else:
                    raise
            else:
                self._tell(away=False)

    def _turn(self) -> None:
        if self._to_start_over.is_set():
            self._to_start_over.clear()
            self._lanes.drop()  # also what this thread has just added: what comes first must come first
            self._from_the_start()
            self._cut.clear()
        if not self._has_group:
            self._make_group(self._beginning())
            self._has_group = True
        self._drop_replays()
        if not self._lanes.wait_for_room(IN_HAND_AT_MOST, SLICE_S):
            self._cut |= self._lanes.cut(LANE_AT_MOST, spared=REPLAYS)
            return
        self._read_again_what_was_cut()
        self._add_replays()
        after = self._after
        found: Any = self._redis.xreadgroup(
            self._hook.group, CONSUMER, {self._names.events: after}, READ_AT_ONCE, int(SLICE_S * 1000)
        )
        entries = [entry for _stream, entries in found or [] for entry in entries]
        self._add(entries)
        if after != ">":
            self._after = entries[-1][0] if entries else ">"

    def _from_the_start(self) -> None:
        self._after, self._again = "0", None

    def _read_again_what_was_cut(self) -> None:
        """What was left out is still ours, and is given again. Of other lanes nothing is taken meanwhile that was read
        before: it is in hand, or just done with."""
        for lane in [lane for lane in self._cut if self._lanes.count(lane) < LANE_AT_MOST // 2]:
            first = _number(self._cut.pop(lane))
            if self._after == ">":
                self._again = {}
            if self._again is not None:
                self._again[lane] = first
            if self._after == ">" or first <= _number(self._after):
                self._after = _before(first)

    def _is_to_be_added(self, job: Job) -> bool:
        if job.lane in self._cut:
            return False
        if self._after == ">" or self._again is None:
            return True
        return job.lane in self._again and _number(job.entry) >= self._again[job.lane]

    def _beginning(self) -> str:
        """After which entry an address that is new begins: this process comes seconds after the first events. Never
        after the newest there is, should our clock be ahead of Redis'."""
        newest: Any = self._redis.xrevrange(self._names.events, count=1)
        if not newest:
            return "0"
        found = str(newest[0][0])
        if self._service_started_at is None:
            return found
        started = f"{int(self._service_started_at * 1000)}-0"
        return min(found, started, key=_number)

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
            elif self._is_to_be_added(job):
                self._lanes.add(job)
        if passed:
            self._pass_over(passed)

    def _drop_replays(self) -> None:
        """Letters that somebody took away while they wait to be tried again."""
        jobs = [job for job in self._lanes.jobs(REPLAYS) if job.letter is not None]
        if not jobs:
            return
        kept: Any = self._redis.hmget(self._names.webhook_letters(self._hook.id), [job.key for job in jobs])
        for job, letter in zip(jobs, kept, strict=True):
            job.is_gone = letter is None

    def _add_replays(self) -> None:
        ids: Any = self._redis.lrange(self._names.webhook_replays(self._hook.id), 0, REPLAYS_AT_ONCE - 1)
        if not ids:
            return
        letters: Any = self._redis.hmget(self._names.webhook_letters(self._hook.id), ids)
        for letter_id, found in zip(ids, letters, strict=True):
            letter = read_kept(DeadLetter, found)
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


def _number(entry_id: str) -> tuple[int, int]:
    milliseconds, _, count = entry_id.partition("-")
    return int(milliseconds), int(count or 0)


def _before(number: tuple[int, int]) -> str:
    """The last id that may be before it."""
    milliseconds, count = number
    return f"{milliseconds}-{count - 1}" if count else f"{milliseconds - 1}-{2**64 - 1}"


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
