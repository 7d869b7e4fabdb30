"""AgentClient and AsyncAgentClient: call a command, follow events. Workers, web, cli and the backend use them."""

import time
from collections.abc import AsyncGenerator, Collection, Generator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from . import following
from .commands import COMMANDS, Command, Reply
from .errors import AgentUnreachable, BadArguments, NoReply, UnknownCommand, error_from_wire
from .events import Event
from .following import SLICE_S, event_from_entry
from .names import SessionNames
from .results import CheckResult, PingResult
from .status import Status
from .steps import Beside, Steps, for_asyncio, for_threads

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["AgentClient", "AsyncAgentClient", "event_from_entry"]

_Result = TypeVar("_Result", bound=BaseModel)


class AgentClient:
    """The door to one session's agent, for threads. `redis` must decode responses (see redis_connection)."""

    def __init__(self, redis: "redis.Redis", session_id: str) -> None:
        self.redis = redis
        self.names = SessionNames(session_id)

    def call(self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None) -> BaseModel:
        """Send a command and wait for its result (the command's own model).

        Raises BadArguments for what JSON has no form for, as half of a surrogate pair, AgentUnreachable at once when
        nobody listens, NoReply after the deadline, the error the agent answers with, and redis' own errors while Redis
        is away. The command expires with the deadline, so one that nobody waits for any more is not carried out late.
        """
        key, payload, within_s = _command(self.names, name, args, reply_within_s)
        started = time.monotonic()
        listeners: Any = self.redis.publish(self.names.commands, payload)
        if not listeners:
            raise _unreachable(self.names)
        while (left_s := within_s - (time.monotonic() - started)) > 0:
            popped: Any = self.redis.blpop([key], timeout=min(left_s, SLICE_S))
            if popped:
                return _result(name, popped[1])
        raise NoReply(f"{name} was not answered within {within_s:g} s", listeners)

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

    def follow(
        self,
        after: str | None = None,
        *,
        group: str | None = None,
        consumer: str | None = None,
        types: Collection[str] | None = None,
        claim_idle_s: float = 60.0,
        batch: int = 10,
    ) -> Generator[Event, None, None]:
        """Events as they come, for ever; only those of `types` where given.

        Without a group: those after the one with the id `after` (by default `$`: from now on; `0`: all kept). Raises
        redis' own errors while Redis is away: call again with the last event's id.

        With a `group`, as its `consumer`: none is lost. An event is acknowledged when the next one is asked for; one
        whose loop body raised, broke off or died is not, and comes again: first of all to the consumer of the same
        name, or to another one of the group after `claim_idle_s` without a sign of life of its holder, which gives
        one while the body works, for up to an hour. Events come in order, except those that come again; drop repeats
        by `data["key"]`. Outages of Redis are waited for, within. A group that is not there is made, at `after` (by
        default `0`). `batch` is how many are taken from the others at once. A consumer's name belongs to one loop at
        a time; keep it over restarts.
        """
        steps, beside = _following(self.names, after, group, consumer, types, claim_idle_s, batch)
        return for_threads(self.redis, steps, beside)


class AsyncAgentClient:
    """The same door for asyncio."""

    def __init__(self, redis: "redis.asyncio.Redis", session_id: str) -> None:
        self.redis = redis
        self.names = SessionNames(session_id)

    async def call(
        self, name: str, args: dict[str, Any] | None = None, *, reply_within_s: float | None = None
    ) -> BaseModel:
        """As AgentClient.call."""
        key, payload, within_s = _command(self.names, name, args, reply_within_s)
        started = time.monotonic()
        listeners: Any = await self.redis.publish(self.names.commands, payload)
        if not listeners:
            raise _unreachable(self.names)
        while (left_s := within_s - (time.monotonic() - started)) > 0:
            popped: Any = await self.redis.blpop([key], timeout=min(left_s, SLICE_S))
            if popped:
                return _result(name, popped[1])
        raise NoReply(f"{name} was not answered within {within_s:g} s", listeners)

    async def status(self) -> Status | None:
        """As AgentClient.status."""
        fields: Any = await self.redis.hgetall(self.names.status)
        return Status.from_hash(fields)

    def follow(
        self,
        after: str | None = None,
        *,
        group: str | None = None,
        consumer: str | None = None,
        types: Collection[str] | None = None,
        claim_idle_s: float = 60.0,
        batch: int = 10,
    ) -> AsyncGenerator[Event, None]:
        """As AgentClient.follow: `async for event in client.follow(group="photos", consumer="backend-1")`.

        A body that blocks the event loop for `claim_idle_s` gives no sign of life: long work goes to a thread. Where
        the loop may end early, `contextlib.aclosing` closes it at once.
        """
        steps, beside = _following(self.names, after, group, consumer, types, claim_idle_s, batch)
        return for_asyncio(self.redis, steps, beside)


def _following(
    names: SessionNames,
    after: str | None,
    group: str | None,
    consumer: str | None,
    types: Collection[str] | None,
    claim_idle_s: float,
    batch: int,
) -> tuple[Steps[None], Beside | None]:
    if group is None and consumer is None:
        return following.alone(names.events, after or "$", types), None
    if not group or not consumer:
        raise ValueError("a group needs a consumer's name, and a consumer its group's")
    reader = following.Consumer(
        names.events, group, consumer, after=after or "0", types=types, claim_idle_s=claim_idle_s, batch=batch
    )
    return reader.steps(), reader.beside


def _command(
    names: SessionNames, name: str, args: dict[str, Any] | None, reply_within_s: float | None
) -> tuple[str, str, float]:
    """Where its reply comes, the command as it is sent, and for how long to wait."""
    spec = COMMANDS.get(name)
    if spec is None:
        raise UnknownCommand(f"no command {name!r}")
    within_s = reply_within_s or spec.reply_within_s
    expires_at = datetime.now(UTC) + timedelta(seconds=within_s)
    command = Command(id=str(uuid4()), name=name, args=args or {}, expires_at=expires_at)
    try:
        payload = command.model_dump_json()
    except (PydanticSerializationError, UnicodeError):
        # Without the error's own words, which may hold the value: a text or a number.
        raise BadArguments("an argument holds what JSON has no form for, as half of a surrogate pair") from None
    return names.replies(str(command.id)), payload, within_s


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
