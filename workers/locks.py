"""Locks in Redis that last as long as their holder lives: short ones, renewed from a thread beside it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis.exceptions import LockError

from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import is_outage

if TYPE_CHECKING:
    import redis
    from redis.lock import Lock

log = get_logger(__name__)

KEPT_S = 8.0  # how long a killed holder keeps the others out
RENEWED_EVERY_S = 2.0


@contextmanager
def one_at_a_time(
    client: "redis.Redis",
    name: str,
    *,
    wait_s: float = 0.0,
    kept_s: float = KEPT_S,
    renewed_every_s: float = RENEWED_EVERY_S,
) -> "Iterator[Lock | None]":
    """The lock of that name, or None where another has it, and still has it after `wait_s`.

    A holder whose process was stopped for longer than `kept_s` may have lost it: `owned()` says so.
    """
    lock = client.lock(name, timeout=kept_s, thread_local=False)
    if not lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s or None):
        yield None
        return
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, done, renewed_every_s), daemon=True)
    renewing.start()
    try:
        yield lock
    finally:
        done.set()
        renewing.join()
        try:
            lock.release()
        except LockError:
            log.warning("a lock was lost before its work was done", lock=name)


def _renew(lock: "Lock", done: threading.Event, every_s: float) -> None:
    while not done.wait(every_s):
        try:
            lock.reacquire()
        except LockError:
            return  # another has it; the holder finds out
        except Exception as error:
            if not is_outage(error):
                raise
