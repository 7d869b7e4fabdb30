"""Commands: the envelope, the reply, and the list of them. What each takes and answers is in arguments.py and
results.py."""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from .arguments import (
    BackfillArgs,
    CarrySendArgs,
    CauseArgs,
    FollowChatsArgs,
    ListChatsArgs,
    ListGroupsArgs,
    MediaRetryArgs,
    MediaUrlArgs,
    NoArgs,
    PairingCodeArgs,
    RungArgs,
    SendKeyArgs,
    SendMediaArgs,
    SendReactionArgs,
    SendReplyArgs,
    SendTextArgs,
    SuppressArgs,
)
from .errors import BadArguments, BadCommand, BadJson, ContractError, TooLarge, UnknownCommand
from .results import (
    BackfillResult,
    BackupResult,
    CarrySendResult,
    CheckResult,
    FollowChatsResult,
    ListChatsResult,
    ListGroupsResult,
    LogoutResult,
    MediaRetryResult,
    MediaUrlResult,
    PairingCodeResult,
    PingResult,
    ReloadResult,
    ResetResult,
    RestartBrowserResult,
    ScreenshotResult,
    SendResult,
    SendsStateResult,
    ShutdownResult,
    SuppressResult,
)

MAX_COMMAND_BYTES = 1024 * 1024
REPLY_TTL_S = 60

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_A_NAME = re.compile(r"[A-Za-z_]{1,32}")
_BARE_WORD = re.compile(rb"^[a-z_]{1,32}$")
_ID = re.compile(rb'"id"\s*:\s*"(' + _UUID.encode() + rb')"')
_ID_WITHIN_BYTES = 1024


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


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
        CommandSpec("reset", RungArgs, ResetResult, mutating=True, reply_within_s=20),
        CommandSpec("reload", RungArgs, ReloadResult, mutating=True, reply_within_s=30),
        CommandSpec("restart_browser", RungArgs, RestartBrowserResult, mutating=True, reply_within_s=45),
        CommandSpec("logout", CauseArgs, LogoutResult, mutating=True, reply_within_s=30),
        CommandSpec("backup", CauseArgs, BackupResult, mutating=True, reply_within_s=125),
        CommandSpec("shutdown", CauseArgs, ShutdownResult, mutating=True, reply_within_s=5),
        CommandSpec("pairing_code", PairingCodeArgs, PairingCodeResult, mutating=True, reply_within_s=20),
        CommandSpec("follow_chats", FollowChatsArgs, FollowChatsResult, mutating=False, reply_within_s=10),
        CommandSpec("list_chats", ListChatsArgs, ListChatsResult, mutating=False, reply_within_s=15),
        CommandSpec("list_groups", ListGroupsArgs, ListGroupsResult, mutating=False, reply_within_s=30),
        CommandSpec("backfill", BackfillArgs, BackfillResult, mutating=False, reply_within_s=300),
        CommandSpec("screenshot", NoArgs, ScreenshotResult, mutating=False, reply_within_s=10),
        CommandSpec("media_retry", MediaRetryArgs, MediaRetryResult, mutating=False, reply_within_s=10),
        CommandSpec("media_url", MediaUrlArgs, MediaUrlResult, mutating=False, reply_within_s=10),
        CommandSpec("send_text", SendTextArgs, SendResult, mutating=False, reply_within_s=5),
        CommandSpec("send_media", SendMediaArgs, SendResult, mutating=False, reply_within_s=5),
        CommandSpec("send_reply", SendReplyArgs, SendResult, mutating=False, reply_within_s=5),
        CommandSpec("send_reaction", SendReactionArgs, SendResult, mutating=False, reply_within_s=5),
        CommandSpec("send_status", SendKeyArgs, SendResult, mutating=False, reply_within_s=5),
        CommandSpec("carry_send", CarrySendArgs, CarrySendResult, mutating=False, reply_within_s=10),
        CommandSpec("suppress", SuppressArgs, SuppressResult, mutating=False, reply_within_s=5),
        CommandSpec("pause_sends", CauseArgs, SendsStateResult, mutating=False, reply_within_s=5),
        CommandSpec("resume_sends", CauseArgs, SendsStateResult, mutating=False, reply_within_s=5),
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
        named = f"no command {command.name!r}" if _A_NAME.fullmatch(command.name) else "no such command"
        raise UnknownCommand(f"{named}; there are {', '.join(sorted(COMMANDS))}")
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
    where = ".".join(_shown(part) for part in first["loc"]) or "command"
    is_id = first["loc"] == ("id",) and first["type"] == "string_pattern_mismatch"
    words = "should be a UUID" if is_id else _WORDS.get(first["type"], first["msg"])
    return f"{where}: {words}"


def _shown(part: str | int) -> str:
    """Of where it is wrong; a name that is none of ours may be anything, somebody's number too."""
    return str(part) if isinstance(part, int) or _A_NAME.fullmatch(part) else "…"


# Where pydantic speaks of its own affairs.
_WORDS = {"extra_forbidden": "no such argument", "missing": "is missing"}
