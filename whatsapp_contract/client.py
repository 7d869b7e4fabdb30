"""AgentClient and AsyncAgentClient: call a command, follow events. Workers, web, cli and the backend use them."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from .commands import COMMANDS, CheckResult, Command, PingResult, Reply
from .errors import AgentUnreachable, NoReply, UnknownCommand, error_from_wire
from .events import Event
from .names import SessionNames
from .status import Status

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_Result = TypeVar("_Result", bound=BaseModel)

# Blocking reads are made in slices, each well inside the connection's own deadline.
_SLICE_S = 2.0


class AgentClient:
    """The door to one session's agent, for threads. `redis` must decode responses (see redis_connection)."""

    def __init__(self, redis: "redis.Redis", session_id: str) -> None:
        self.redis = redis
        self.names = SessionNames(session_id)

    def call(self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None) -> BaseModel:
        """Send a command and wait for its result (the command's own model).

        Raises AgentUnreachable at once when nobody listens, NoReply after the deadline, the error the agent
        answers with, and redis' own errors while Redis is away. The command expires with the deadline, so one
        that nobody waits for any more is not carried out late.
        """
        command, within_s = _command(name, args, reply_within_s)
        started = time.monotonic()
        if not self.redis.publish(self.names.commands, command.model_dump_json()):
            raise _unreachable(self.names)
        key = self.names.replies(str(command.id))
        while (left_s := within_s - (time.monotonic() - started)) > 0:
            popped: Any = self.redis.blpop([key], timeout=min(left_s, _SLICE_S))
            if popped:
                return _result(name, popped[1])
        raise NoReply(f"{name} was not answered within {within_s:g} s")

    def ping(self, *, reply_within_s: float | None = None) -> PingResult:
        """See call."""
        return _as(PingResult, self.call("ping", reply_within_s=reply_within_s))

    def check(self, *, reply_within_s: float | None = None) -> CheckResult:
        """See call."""
        return _as(CheckResult, self.call("check", reply_within_s=reply_within_s))

    def status(self) -> Status | None:
        """What the agent last said of itself; None where no agent ever ran."""
        fields: Any = self.redis.hgetall(self.names.status)
        return Status.from_hash(fields)

    def follow(self, after: str = "$", *, types: frozenset[str] | None = None) -> Iterator[Event]:
        """Events as they come, for ever, after the one with the id `after` (`$`: from now on, `0`: all kept).

        Raises redis' own errors while Redis is away: call again with the last event's id.
        """
        last = _end_of(self.redis.xrevrange(self.names.events, count=1)) if after == "$" else after
        while True:
            found: Any = self.redis.xread({self.names.events: last}, count=500, block=int(_SLICE_S * 1000))
            for entry_id, fields in _entries(found):
                last = entry_id
                event = event_from_entry(entry_id, fields)
                if types is None or event.type in types:
                    yield event


class AsyncAgentClient:
    """The same door for asyncio."""

    def __init__(self, redis: "redis.asyncio.Redis", session_id: str) -> None:
        self.redis = redis
        self.names = SessionNames(session_id)

    async def call(
        self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None
    ) -> BaseModel:
        """As AgentClient.call."""
        command, within_s = _command(name, args, reply_within_s)
        started = time.monotonic()
        if not await self.redis.publish(self.names.commands, command.model_dump_json()):
            raise _unreachable(self.names)
        key = self.names.replies(str(command.id))
        while (left_s := within_s - (time.monotonic() - started)) > 0:
            popped: Any = await self.redis.blpop([key], timeout=min(left_s, _SLICE_S))
            if popped:
                return _result(name, popped[1])
        raise NoReply(f"{name} was not answered within {within_s:g} s")

    async def status(self) -> Status | None:
        """As AgentClient.status."""
        fields: Any = await self.redis.hgetall(self.names.status)
        return Status.from_hash(fields)

    async def follow(self, after: str = "$", *, types: frozenset[str] | None = None) -> AsyncIterator[Event]:
        """As AgentClient.follow."""
        last = _end_of(await self.redis.xrevrange(self.names.events, count=1)) if after == "$" else after
        while True:
            found: Any = await self.redis.xread({self.names.events: last}, count=500, block=int(_SLICE_S * 1000))
            for entry_id, fields in _entries(found):
                last = entry_id
                event = event_from_entry(entry_id, fields)
                if types is None or event.type in types:
                    yield event


def event_from_entry(entry_id: str, fields: dict[str, str]) -> Event:
    """The event in a stream entry, with its id."""
    return Event.model_validate({**json.loads(fields["event"]), "id": entry_id})


def _command(name: str, args: dict[str, Any] | None, reply_within_s: float | None) -> tuple[Command, float]:
    spec = COMMANDS.get(name)
    if spec is None:
        raise UnknownCommand(f"no command {name!r}")
    within_s = reply_within_s or spec.reply_within_s
    expires_at = datetime.now(UTC) + timedelta(seconds=within_s)
    return Command(id=str(uuid4()), name=name, args=args or {}, expires_at=expires_at), within_s


def _result(name: str, payload: str) -> BaseModel:
    reply = Reply.model_validate_json(payload)
    if reply.error:
        raise error_from_wire(reply.error.code, reply.error.message)
    return COMMANDS[name].result.model_validate(reply.result)


def _as(kind: type[_Result], result: BaseModel) -> _Result:
    if not isinstance(result, kind):
        raise TypeError(f"expected {kind.__name__}, not {type(result).__name__}")
    return result


def _unreachable(names: SessionNames) -> AgentUnreachable:
    return AgentUnreachable(f"nobody listens on {names.commands}")


def _end_of(last_entries: Any) -> str:
    """The id to read after: XREAD's own `$` would lose what comes between two reads."""
    return str(last_entries[0][0]) if last_entries else "0"


def _entries(found: Any) -> list[tuple[str, dict[str, str]]]:
    """The entries of the one stream that was read."""
    return [entry for _stream, entries in found or [] for entry in entries]
