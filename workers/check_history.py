"""Keeps what the watchdog sees and does, for those who look later: its last day by minutes, and its counters.

All that one check has to say goes in one pipeline. It is written for people and disturbs nothing: what Redis does not
take is lost, and told once. A write whose answer was lost is not repeated, so that nothing is counted twice.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from whatsapp_contract import counters, history
from whatsapp_contract.history import CheckSeen, Minute
from whatsapp_contract.incidents import Incident
from whatsapp_contract.kept_records import read_kept
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames

from .memory import Decision, Memory, Observation, Rung

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)


class CheckHistory:
    """One for each worker process, whose threads may share it."""

    def __init__(self, redis_client: "redis.Redis", names: SessionNames) -> None:
        self._redis = redis_client
        self._names = names
        self._lock = threading.Lock()
        self._is_lost = False  # as last seen

    def keep(self, counted: Iterable[str], seen: CheckSeen | None = None) -> None:
        """Move these counters (a name given twice, twice), and note a check. Raises nothing of Redis'."""
        moved = Counter(counted)
        if seen is not None and seen.took_ms is not None:
            moved.update(counters.took(seen.took_ms))
        if not moved and seen is None:
            return
        try:
            with self._lock:
                self._write(moved, seen)
        except (RedisError, OSError) as error:
            if not self._is_lost:
                log.warning("checks are not written into the history", error=str(error)[:200])
            self._is_lost = True
            return
        if self._is_lost:
            log.info("checks are written into the history again")
        self._is_lost = False

    def _write(self, moved: Counter[str], seen: CheckSeen | None) -> None:
        with self._redis.pipeline(transaction=True) as pipeline:
            if seen is not None:
                self._add_minute(pipeline, history.of_check(seen))
            for name, by in moved.items():
                pipeline.hincrby(self._names.check_counts, name, by)
            pipeline.execute()

    def _add_minute(self, pipeline: "redis.client.Pipeline", minute: Minute) -> None:
        """In the place of the list's head, where that is the same minute, whoever wrote it; else before it."""
        kept: Any = self._redis.lindex(self._names.history, 0)
        head = read_kept(Minute, kept)
        if head is not None and head.at == minute.at:
            minute = history.together(head, minute)
            pipeline.lpop(self._names.history)
        pipeline.lpush(self._names.history, minute.to_json())
        pipeline.ltrim(self._names.history, 0, history.RECORDS_KEPT - 1)
        pipeline.expire(self._names.history, history.KEPT_S)


def noted(seen: Observation, asked_at: datetime) -> CheckSeen:
    """An observation as the history keeps it."""
    return CheckSeen(asked_at, seen.verdict, seen.reason, seen.took_ms, seen.memory_bytes)


def of_decision(before: Memory, decision: Decision, incident: Incident | None, itself: Incident | None) -> list[str]:
    """The counters that a decision moves: those of incidents that begin with it, and of a hold. `incident` is the one
    under way, `itself` one that was over before anybody looked."""
    begun = [itself] if before.incident is not None else [incident, itself]
    counted = [counters.incident(one.verdict) for one in begun if one is not None]
    if decision.rung is Rung.HOLD:
        counted.append(counters.rung(Rung.HOLD, failed=False))
    return counted
