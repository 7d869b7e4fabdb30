"""Commands in, replies out: subscribe, validate, answer. No payload can stop it, nor an outage of Redis.

redis-py's own listener dies a few seconds into an outage and never notices a frozen server (measured with 8.1), so
the loop here asks for a sign of life when it is quiet, and reconnects when there is none.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import redis.asyncio
from pydantic import BaseModel

from whatsapp_contract import command_errors, commands, log_context
from whatsapp_contract.backoff import Backoff
from whatsapp_contract.commands import Command, CommandSpec
from whatsapp_contract.errors import Busy, ContractError, Expired, Internal
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import is_outage

log = get_logger(__name__)

QUIET_S = 3.0  # then Redis is asked for a sign of life
PONG_WITHIN_S = 3.0
AT_MOST_AT_ONCE = 64  # of each group, so that none takes another's place: messages must go out, whatever callers do
# The watchdog's are always let in, for a flood of them must not look like a fault, nor keep it from mending one. They
# make no work without end: of the rungs one is under way at most, all checks wait for one answer of the page, and a
# ping waits for nothing.
_SENDS, _WATCHDOGS, _OTHERS = "sends", "the watchdog's", "others"
_TICKS = ("ping", "check")
_GROUPS = {"carry_send": _SENDS} | dict.fromkeys(("ping", "check", "reset", "reload", "restart_browser"), _WATCHDOGS)
REPLIES_AT_ONCE = 16  # each takes a connection, of which redis-py opens a hundred and refuses more

Handle = Callable[[CommandSpec, Any], Awaitable[BaseModel]]


class CommandBus:
    """`handle` is given each valid command's spec and arguments; its result, or ContractError, is the reply.

    `redis` must not decode responses: a payload need not be UTF-8.
    """

    def __init__(self, redis: "redis.asyncio.Redis", names: SessionNames, handle: Handle) -> None:
        self.refused = 0  # commands that failed, or payloads that were none, with nobody to tell
        self._redis = redis
        self._names = names
        self._handle = handle
        self._running: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()  # by group
        self._replying = asyncio.Semaphore(REPLIES_AT_ONCE)

    async def serve(self) -> None:
        """Answer commands until cancelled; then wait for none of those under way."""
        backoff = Backoff(0.1, 5.0)
        try:
            while True:
                try:
                    await self._listen(backoff)
                except Exception as error:
                    if not is_outage(error):
                        raise
                    wait_s = backoff.next_s()
                    log.warning("command channel lost", error=str(error), retry_in_s=round(wait_s, 1))
                    await asyncio.sleep(wait_s)
        finally:
            for task in self._running:
                task.cancel()

    async def _listen(self, backoff: Backoff) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._names.commands)
            heard_at = time.monotonic()
            asked_at: float | None = None
            while True:
                message: dict[str, Any] | None = await pubsub.get_message(timeout=0.5)
                now = time.monotonic()
                if message is not None:
                    heard_at, asked_at = now, None
                    self._on_message(message, backoff)
                elif asked_at is not None and now - asked_at > PONG_WITHIN_S:
                    raise ConnectionError(f"Redis gave no sign of life for {now - heard_at:.0f} s")
                elif asked_at is None and now - heard_at > QUIET_S:
                    asked_at = now
                    await pubsub.ping()

    def _on_message(self, message: dict[str, Any], backoff: Backoff) -> None:
        if message["type"] == "subscribe":
            backoff.reset()
            log.info("listening for commands", channel=self._names.commands)
        elif message["type"] == "message":
            task = asyncio.create_task(self._answer(message["data"]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, payload: bytes) -> None:
        """One payload's whole life. Nothing it holds may end the agent: here every error is answered."""
        started = time.perf_counter()
        command: Command | None = None
        try:
            command = commands.parse_command(payload)
            is_known = command.name in commands.COMMANDS  # else it may be anything
            log_context.bind(command=command.name if is_known else None, command_id=command.id)
            with self._admitted(command) as (spec, args):
                log_context.bind(incident=getattr(args, "incident", None))
                if (key := getattr(args, "idempotency_key", None)) is not None:
                    log_context.bind(send=log_context.send_ref(key))
                result = await self._handle(spec, args)
            _log_end(command, "a command was carried out", took_ms=round(_ms_since(started), 1))
            reply_to = _sender(command)
            if reply_to is None:
                return
            reply = commands.reply_ok(reply_to, result, _ms_since(started))
        except Exception as error:
            reply_to = _sender(command) if command else commands.id_of(payload)
            if not isinstance(error, ContractError):
                log.exception("a command failed with a bug", command_id=reply_to)
            known = error if isinstance(error, ContractError) else Internal("see the agent's log")
            if command is not None and not command_errors.is_foreseen(command.name, known):
                log.error("a command failed with an error that its contract does not name", code=known.code)
            if reply_to is None:
                self.refused += 1
                log.warning(
                    "a command failed with nobody to tell", code=known.code, error=str(known), refused=self.refused
                )
                return
            _log_end(command, "a command failed", code=known.code)
            reply = commands.reply_error(reply_to, known, _ms_since(started))
        await self._reply(reply_to, reply)

    @contextlib.contextmanager
    def _admitted(self, command: Command) -> Iterator[tuple[CommandSpec, BaseModel]]:
        if command.expires_at is not None and command.expires_at <= datetime.now(UTC):
            raise Expired(f"{command.name} expired at {command.expires_at.isoformat()}")
        group = _GROUPS.get(command.name, _OTHERS)
        if group != _WATCHDOGS and self._under_way[group] >= AT_MOST_AT_ONCE:
            raise Busy(f"{self._under_way[group]} commands of this kind are under way")
        self._under_way[group] += 1
        try:
            yield commands.parse_args(command)
        finally:
            self._under_way[group] -= 1

    async def _reply(self, command_id: str, reply: str) -> None:
        key = self._names.replies(command_id)
        try:
            async with self._replying, self._redis.pipeline(transaction=True) as pipeline:
                pipeline.rpush(key, reply)
                pipeline.expire(key, commands.REPLY_TTL_S)
                await pipeline.execute()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("a reply was lost with Redis", command_id=command_id, error=str(error))


def _sender(command: Command) -> str | None:
    return command.id if command.reply else None


def _log_end(command: Command | None, sentence: str, **facts: Any) -> None:
    """Those that change something are news; the others are many, and the watchdog's questions mere ticks."""
    spec = commands.COMMANDS.get(command.name) if command is not None else None
    if spec is not None and spec.name in _TICKS:
        return
    (log.info if spec is not None and spec.mutating else log.debug)(sentence, **facts)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
