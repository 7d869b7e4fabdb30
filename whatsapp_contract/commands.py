"""Commands: the envelope, the reply, and one argument and one result model for each."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from .errors import BadArguments, BadCommand, BadJson, ContractError, TooLarge, UnknownCommand
from .health import Facts, Verdict
from .states import SessionState

MAX_COMMAND_BYTES = 1024 * 1024
REPLY_TTL_S = 60

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_BARE_WORD = re.compile(rb"^[a-z_]{1,32}$")
_ID = re.compile(rb'"id"\s*:\s*"(' + _UUID.encode() + rb')"')
_ID_WITHIN_BYTES = 1024


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Command(_Strict):
    """What a caller publishes. Without an id, or with `reply` false, nothing is answered."""

    id: Annotated[str, StringConstraints(pattern=f"^{_UUID}$")] | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    args: dict[str, Any] = {}
    expires_at: AwareDatetime | None = None
    reply: bool = True


class ReplyError(_Strict):
    code: str
    message: str
    retryable: bool


class Reply(_Strict):
    """What is found at `replies:<id>`: a result, or an error."""

    id: str
    ok: bool
    result: dict[str, Any] | None = None
    error: ReplyError | None = None
    took_ms: float


# -- arguments ---------------------------------------------------------------------------------------------------

Cause = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NoArgs(_Strict):
    """The command takes no arguments."""


class CauseArgs(_Strict):
    """Why it is done; goes into the event that tells of it."""

    cause: Cause = "command"


# -- results -----------------------------------------------------------------------------------------------------


class _Result(BaseModel):
    """Results may gain fields, so a reader ignores what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PingResult(_Result):
    """The process answers. `held_until` is set while the start budget keeps the browser away."""

    instance: str
    pid: int
    epoch: int
    state: SessionState
    operation: str | None
    held_until: datetime | None


class CheckResult(_Result):
    """The page answers. While an operation runs it is named, and the facts may be old."""

    facts: Facts
    verdict: Verdict
    reason: str
    operation: str | None


class ResetResult(_Result):
    """A new connection was seen: the state left CONNECTED and came back, and the server was heard since."""

    proven: Literal[True] = True
    took_ms: float
    frame_seen_at: datetime | None


class ReloadResult(_Result):
    """The page was loaded anew and answers. `steps` says what it took."""

    steps: list[Literal["terminate", "reload", "crash", "kill_renderer"]]
    took_ms: float


class RestartBrowserResult(_Result):
    """A new browser runs and its page answers."""

    browser_pid: int
    took_ms: float


class LogoutResult(_Result):
    """This device is unlinked; a new QR code will follow."""

    took_ms: float


class BackupResult(_Result):
    """The session is in its store, verified. `is_new` is false where nothing had changed since the last time."""

    generation: str
    is_new: bool
    stored_bytes: int
    took_ms: float


class ShutdownResult(_Result):
    """The container was told to stop."""


# -- the list of them --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CommandSpec:
    """One command: its models, whether it excludes others, and how long a caller waits for its reply."""

    name: str
    args: type[BaseModel]
    result: type[BaseModel]
    mutating: bool
    reply_within_s: float


COMMANDS: dict[str, CommandSpec] = {
    spec.name: spec
    for spec in (
        CommandSpec("ping", NoArgs, PingResult, mutating=False, reply_within_s=5),
        CommandSpec("check", NoArgs, CheckResult, mutating=False, reply_within_s=5),
        CommandSpec("reset", CauseArgs, ResetResult, mutating=True, reply_within_s=20),
        CommandSpec("reload", CauseArgs, ReloadResult, mutating=True, reply_within_s=30),
        CommandSpec("restart_browser", CauseArgs, RestartBrowserResult, mutating=True, reply_within_s=45),
        CommandSpec("logout", CauseArgs, LogoutResult, mutating=True, reply_within_s=30),
        CommandSpec("backup", CauseArgs, BackupResult, mutating=True, reply_within_s=125),
        CommandSpec("shutdown", CauseArgs, ShutdownResult, mutating=True, reply_within_s=5),
    )
}


def parse_command(payload: bytes) -> Command:
    """The command in a payload; a bare word is a command without reply.

    Raises TooLarge, BadJson or BadCommand. `id_of` says whether there is somebody to tell.
    """
    if len(payload) > MAX_COMMAND_BYTES:
        raise TooLarge(f"{len(payload)} bytes; at most {MAX_COMMAND_BYTES}")
    if _BARE_WORD.match(payload):
        return Command(name=payload.decode(), reply=False)
    try:
        return Command.model_validate_json(payload)
    except ValidationError as error:
        kind = BadJson if error.errors()[0]["type"] == "json_invalid" else BadCommand
        raise kind(_first_problem(error)) from None


def id_of(payload: bytes) -> str | None:
    """The id in a payload that is no command, so that its sender can be told; None also where he wants no reply.

    Where it is no JSON object either, or too large to be read as one, the id is looked for in its head and tail.
    """
    document = _json_object(payload)
    if document is not None:
        found_id = document.get("id")
        is_id = isinstance(found_id, str) and re.fullmatch(_UUID, found_id) and document.get("reply") is not False
        return found_id if is_id else None
    found = _ID.search(payload[:_ID_WITHIN_BYTES]) or _ID.search(payload[-_ID_WITHIN_BYTES:])
    return found.group(1).decode() if found else None


def parse_args(command: Command) -> tuple[CommandSpec, BaseModel]:
    """Raises UnknownCommand or BadArguments."""
    spec = COMMANDS.get(command.name)
    if spec is None:
        raise UnknownCommand(f"no command {command.name!r}; there are {', '.join(sorted(COMMANDS))}")
    try:
        return spec, spec.args.model_validate_json(json.dumps(command.args))
    except ValidationError as error:
        raise BadArguments(_first_problem(error)) from None


def reply_ok(command_id: str, result: BaseModel, took_ms: float) -> str:
    """The wire form of a result."""
    reply = Reply(id=command_id, ok=True, result=result.model_dump(mode="json"), took_ms=round(took_ms, 3))
    return reply.model_dump_json(exclude={"error"})


def reply_error(command_id: str, error: ContractError, took_ms: float) -> str:
    """The wire form of an error."""
    wire = ReplyError(code=error.code, message=str(error), retryable=error.retryable)
    reply = Reply(id=command_id, ok=False, error=wire, took_ms=round(took_ms, 3))
    return reply.model_dump_json(exclude={"result"})


def _json_object(payload: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(payload) if len(payload) <= MAX_COMMAND_BYTES else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _first_problem(error: ValidationError) -> str:
    """Where and what, without the value: it may be a message text or a number."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "command"
    return f"{where}: {first['msg']}"
