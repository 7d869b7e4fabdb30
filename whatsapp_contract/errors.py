"""The error tree: each condition with its code on the wire and whether trying again can help."""

from typing import ClassVar


class ContractError(Exception):
    """Something a caller may be told. The message never holds a secret, a phone number or a text."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class Internal(ContractError):
    """A bug in the agent; its log has the traceback."""

    code = "internal"


class BadJson(ContractError):
    """The payload is not JSON."""

    code = "bad_json"


class BadCommand(ContractError):
    """JSON, but not a command."""

    code = "bad_command"


class UnknownCommand(ContractError):
    """No command of this name here."""

    code = "unknown_command"


class BadArguments(ContractError):
    """The command does not take these arguments."""

    code = "bad_arguments"


class TooLarge(ContractError):
    """The payload is over MAX_COMMAND_BYTES."""

    code = "too_large"


class Expired(ContractError):
    """The command's `expires_at` had passed when it arrived."""

    code = "expired"
    retryable = True


class Busy(ContractError):
    """Another operation runs; its name is in the message."""

    code = "busy"
    retryable = True


class NotReady(ContractError):
    """The session is not in a state in which this can be done."""

    code = "not_ready"
    retryable = True


class AgentUnreachable(ContractError):
    """Nobody listens for commands of this session."""

    code = "agent_unreachable"
    retryable = True


class NoReply(ContractError):
    """The command was heard, but not answered in time. Whether it was done is unknown.

    `listeners` is by how many it was heard, where that is known.
    """

    code = "no_reply"
    retryable = True

    def __init__(self, message: str = "", listeners: int | None = None) -> None:
        super().__init__(message)
        self.listeners = listeners


class PageTimeout(ContractError):
    """The page did not answer within its deadline."""

    code = "page_timeout"
    retryable = True


class PageCrashed(ContractError):
    """The page's process is gone."""

    code = "page_crashed"
    retryable = True


class BrowserGone(ContractError):
    """There is no browser, or it does not answer."""

    code = "browser_gone"
    retryable = True


class ResetUnproven(ContractError):
    """The reset was asked for, but no new connection was seen within its deadline."""

    code = "reset_unproven"
    retryable = True


class NotFound(ContractError):
    """There is no such chat, message or session."""

    code = "not_found"


class StoreUnavailable(ContractError):
    """The session store cannot be reached."""

    code = "store_unavailable"
    retryable = True


class Refused(ContractError):
    """WhatsApp, or a rule of ours, says no."""

    code = "refused"


_BY_CODE: dict[str, type[ContractError]] = {kind.code: kind for kind in ContractError.__subclasses__()}


def error_from_wire(code: str, message: str) -> ContractError:
    """The error a reply stands for; a code newer than this package is an Internal naming it."""
    kind = _BY_CODE.get(code)
    return kind(message) if kind else Internal(f"{code}: {message}")
