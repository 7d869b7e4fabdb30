"""Huey's queue of sends, with a storage that loses nothing.

Whoever takes a message has it in a list of its own until it is done or put off; a thread that finds one in its list
(the answer was lost with the connection) takes it again. A worker gives signs of life; what one that gives none had in
its hands goes back to the queue, as does what a former life of this container's worker had, and it is counted how
often that was so. Messages that wait are moved to the queue in one step, by whoever
asks for work next, at their very moment.

A message may so be carried twice, never not at all: the agent sees to it that a send goes out once.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import redis
from huey import Huey
from huey.api import Task
from huey.constants import EmptyData
from huey.consumer import Consumer, Scheduler
from huey.storage import BaseStorage

from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import REDIS_AWAY, is_outage
from whatsapp_contract.send_queue import TASK, key_in, message_of

log = get_logger(__name__)

READ_WITHIN_S = 1.0
SIGN_EVERY_S = 2
DEAD_AFTER_S = 8.0
AFTER_A_BUG_S = 60.0
LOOK_AFTER_THREADS_S = 5.0

# KEYS: due, queue, own list. Moves what is due; answers what lies in the own list, and how long until the next is due.
TURN_LUA = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for _, message in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], message)
  redis.call('LPUSH', KEYS[2], message)
end
local next_due = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {redis.call('LINDEX', KEYS[3], -1) or '', next_due and tostring(next_due - now) or ''}
"""

# KEYS: due, own list, redelivered. ARGV: message, in how many seconds it is due, "" where it is done. When that is, is
# by Redis' clock alone, as is what is due: a worker's may be another.
RELEASE_LUA = """
if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[1], string.format('%.3f', time[1] + time[2] / 1000000 + ARGV[2]), ARGV[1])
end
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('LREM', KEYS[2], 1, ARGV[1])
"""

# KEYS: takers, queue, redelivered. ARGV: seconds after which a taker is dead, names before and after which a taker's
# list is named, a prefix of takers that are known to be dead, "dead" or "left", then those that give a sign of life
# now. What the dead had in their hands is taken next; only what they died over counts.
SIGN_LUA = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local alive = {}
for i = 5, #ARGV do
  redis.call('ZADD', KEYS[1], now, ARGV[i])
  alive[ARGV[i]] = true
end
local back = 0
local takers = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #takers, 2 do
  local taker, seen = takers[i], tonumber(takers[i + 1])
  local is_known_dead = ARGV[3] ~= '' and string.sub(taker, 1, #ARGV[3]) == ARGV[3]
  if not alive[taker] and (is_known_dead or seen < now - ARGV[1]) then
    local list = ARGV[2] .. taker
    for _, message in ipairs(redis.call('LRANGE', list, 0, -1)) do
      redis.call('RPUSH', KEYS[2], message)
      if ARGV[4] == 'dead' then redis.call('HINCRBY', KEYS[3], message, 1) end
      back = back + 1
    end
    redis.call('DEL', list)
    if ARGV[4] == 'dead' then redis.call('ZREM', KEYS[1], taker) end
  end
end
return back
"""


class SendStorage(BaseStorage):  # type: ignore[misc]  # Huey is untyped
    """Of the session's queue. `instance` is the container's: there is one worker in it at a time."""

    blocking = True
    priority = False

    def __init__(self, name: str, *, client: "redis.Redis", names: SessionNames, instance: str) -> None:
        super().__init__(name)
        self.conn: Any = client
        self._names = names
        self._instance = f"{instance}/"
        self._process = f"{self._instance}{os.getpid()}-{uuid.uuid4().hex[:8]}/"
        self._takers: set[str] = set()
        self._has_begun = False
        self._signing = threading.Lock()
        self._turn = client.register_script(TURN_LUA)
        self._release = client.register_script(RELEASE_LUA)
        self._sign = client.register_script(SIGN_LUA)

    # -- what Huey asks of it

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        self.conn.lpush(self._names.send_queue, data)

    def dequeue(self) -> bytes | None:
        """The next message, into the list of the thread that asks. None where none came within a second."""
        mine = self._own_list()
        keys = [self._names.send_queue_due, self._names.send_queue, mine]
        in_hand, next_due_s = self._turn(keys=keys)
        if in_hand:
            return _bytes(in_hand)
        wait_s = min(READ_WITHIN_S, max(0.01, float(next_due_s))) if next_due_s else READ_WITHIN_S
        taken = self.conn.blmove(self._names.send_queue, mine, wait_s, "RIGHT", "LEFT")
        return None if taken is None else _bytes(taken)

    def add_to_schedule(self, data: bytes, ts: datetime) -> None:
        """Of Huey's own; `put_off` needs no clock."""
        self.put_off(data, (ts.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())

    def read_schedule(self, ts: datetime) -> list[bytes]:
        """Nothing: what is due is moved by whoever asks for work."""
        return []

    def queue_size(self) -> int:
        return int(self.conn.llen(self._names.send_queue))

    def schedule_size(self) -> int:
        return int(self.conn.zcard(self._names.send_queue_due))

    def peek_data(self, key: str) -> Any:
        return EmptyData

    def peek_many(self, keys: list[str]) -> dict[str, bytes]:
        """No send is ever revoked in Huey's way."""
        return {}

    def delete_data(self, key: str) -> bool:
        return False

    # -- what makes it durable

    def done(self, data: bytes) -> None:
        """The message was carried out."""
        self._put_down(data, "")

    def put_off(self, data: bytes, wait_s: float) -> None:
        """Have the message carried again after so long; it leaves the thread's hands in the same step."""
        self._put_down(data, f"{max(0.0, wait_s):.3f}")

    def redeliveries(self, data: bytes) -> int:
        """How often workers died over it."""
        return int(self.conn.hget(self._names.send_queue_redelivered, data) or 0)

    def sign(self) -> None:
        """Give a sign of life for all threads, and take back what those had that give none.

        The first one also takes back what the former worker of this container had: it is known to be gone.
        """
        with self._signing:
            self._give_signs("dead", dead="" if self._has_begun else self._instance)
            self._has_begun = True

    def leave(self) -> None:
        """Give back what is still in hand, at a stop. A thread that still waits for a message may get one until the
        process is gone, so its list stays known: whoever comes next looks into it."""
        with self._signing:
            self._takers.clear()
            self._give_signs("left", dead=self._process)

    def _give_signs(self, how: str, dead: str) -> None:
        names = self._names
        keys = [names.send_queue_takers, names.send_queue, names.send_queue_redelivered]
        back = self._sign(keys=keys, args=[DEAD_AFTER_S, names.send_queue_taken(""), dead, how, *self._takers])
        if back:
            log.warning("sends that were in hand are carried again", sends=int(back), cause=how)

    def _own_list(self) -> str:
        taker = f"{self._process}{threading.current_thread().name}"
        if taker not in self._takers:
            with self._signing:
                self._takers.add(taker)
            self.sign()
        return self._names.send_queue_taken(taker)

    def _put_down(self, data: bytes, due_in_s: str) -> None:
        names = self._names
        keys = [names.send_queue_due, self._own_list(), names.send_queue_redelivered]
        self._release(keys=keys, args=[data, due_in_s])


class SendQueue(Huey):  # type: ignore[misc]
    """A Huey whose only task is to carry a send. A task that fails, in whichever way, stays in the thread's hands."""

    def __init__(self, client: "redis.Redis", names: SessionNames, instance: str) -> None:
        super().__init__(
            names.send_queue, results=False, storage_class=SendStorage, client=client, names=names, instance=instance
        )
        self._carry: Any = None

    def carries_with(self, carry: Callable[[str, int], float | None]) -> None:
        """`carry` is given a send's key and how often workers died over it; it answers after how many seconds it is
        to be carried again, None when it has its end."""

        def carry_task(key: str, redeliveries: int) -> None:
            try:
                wait_s = carry(key, redeliveries)
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("carrying a send failed with a bug")
                wait_s = AFTER_A_BUG_S
            if wait_s is None:
                self.storage.done(message_of(key).encode())
            else:
                self.storage.put_off(message_of(key).encode(), wait_s)

        self._carry = self.task(name=TASK)(carry_task)

    def dequeue(self) -> Task | None:
        data = self.storage.dequeue()
        if data is None:
            return None
        try:
            key = key_in(data)
        except ValueError:
            log.error("something on the queue of sends is no send")
            self.storage.done(data)
            return None
        task: Task = self._carry.s(key, self.storage.redeliveries(data))
        return task

    def serialize_task(self, task: Task) -> bytes:
        return message_of(task.args[0]).encode()


class _Signs(Scheduler):  # type: ignore[misc]
    """Huey's scheduler has nothing to move here; its thread gives the signs of life."""

    def loop(self, now: Any = None) -> None:
        try:
            self.huey.storage.sign()
        except Exception:
            self._logger.exception("Error giving a sign of life.")
        self.stop_flag.wait(SIGN_EVERY_S)


class SendConsumer(Consumer):  # type: ignore[misc]
    """Runs beside another consumer in its process, which has the signals and sets `stop_flag`."""

    scheduler_class: ClassVar[type[Scheduler]] = _Signs

    def __init__(self, queue: SendQueue, stop_flag: threading.Event, **options: Any) -> None:
        self._given_stop_flag = stop_flag
        super().__init__(queue, periodic=False, **options)
        self._stop_flag_timeout = LOOK_AFTER_THREADS_S

    def leave(self, within_s: float) -> None:
        """After the stop: wait for the threads for half of that, and give back what they still have in hand. With a
        Redis that does not answer it is found by whoever comes next."""
        deadline = time.monotonic() + within_s / 2
        for _worker, thread in self.worker_threads:
            thread.join(max(0.0, deadline - time.monotonic()))

        def give_back() -> None:
            with contextlib.suppress(*REDIS_AWAY):
                self.huey.storage.leave()

        giving = threading.Thread(target=give_back, daemon=True)
        giving.start()
        giving.join(within_s / 2)

    def get_environment(self, worker_type: str) -> Any:
        environment = super().get_environment(worker_type)
        environment.get_stop_flag = lambda: self._given_stop_flag
        return environment

    def _set_signal_handlers(self) -> None:
        pass


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
