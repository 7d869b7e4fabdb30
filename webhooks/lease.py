"""One process at a time delivers to a webhook, or the order would be nobody's.

Where a session's containers share a Redis, and one stands aside, its webhooks stand aside, too: the lease is held by
an instance, and renewed all the time. It runs out by a clock that nobody steps and that does not stand still while the
machine sleeps, a while before Redis gives it to another.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

from .hook import Hook

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

KEPT_S = 10.0  # how long a container that was killed keeps the others out
TRUSTED_S = 8.0
RENEWED_EVERY_S = 2.0

# KEYS: lease, webhooks. ARGV: instance, milliseconds, hook, host, now (epoch seconds). Answers "kept", "taken", or ""
# where another has it.
LEASE_LUA = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return '' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[3] .. '.host', ARGV[4], ARGV[3] .. '.seen_at', ARGV[5])
return holder and 'kept' or 'taken'
"""


class Lease:
    """`on_taken` is called before it counts as held, where another may have held it since."""

    def __init__(
        self, redis: "redis.Redis", names: SessionNames, hook: Hook, instance: str, on_taken: Callable[[], None]
    ) -> None:
        self._redis, self._names, self._hook, self._instance = redis, names, hook, instance
        self._on_taken = on_taken
        self._changed = threading.Condition()
        self._until = 0.0
        self._was_held = False

    def run(self) -> None:
        """Renew it for ever."""
        while True:
            self.renew()
            time.sleep(RENEWED_EVERY_S)

    def renew(self) -> None:
        """Once."""
        asked_at = _now()
        try:
            answer: Any = self._redis.eval(
                LEASE_LUA,
                2,
                self._names.webhook_lease(self._hook.id),
                self._names.webhooks,
                self._instance,
                str(int(KEPT_S * 1000)),
                self._hook.id,
                self._hook.host,
                f"{time.time():.3f}",
            )
        except Exception as error:
            if not is_outage(error):
                raise
            return  # the others say so; meanwhile it runs out
        if not answer:
            if self._was_held or not self._until:
                log.info("another container delivers to this webhook", webhook=self._hook.host)
            self._was_held, self._until = False, -1.0
            return
        if not self._was_held or answer == "taken":
            self._on_taken()
            self._was_held = True
        with self._changed:
            self._until = asked_at + TRUSTED_S
            self._changed.notify_all()

    def is_held(self) -> bool:
        return _now() < self._until

    def wait(self) -> None:
        """Until it is held."""
        with self._changed:
            while not self.is_held():
                self._changed.wait()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
