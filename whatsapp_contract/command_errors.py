"""With which errors each command may be answered, besides those with which every one may."""

from collections.abc import Mapping

from .errors import (
    AgentUnreachable,
    BadArguments,
    BadCommand,
    BadJson,
    BrowserGone,
    Busy,
    ContractError,
    Expired,
    Internal,
    NoReply,
    NotFound,
    NotReady,
    PageCrashed,
    PageTimeout,
    Refused,
    ResetUnproven,
    StoreUnavailable,
    TooLarge,
    UnknownCommand,
)

Errors = tuple[type[ContractError], ...]

OF_EVERY_COMMAND: Errors = (BadArguments, Expired, Busy, Internal)
OF_NO_COMMAND: Errors = (BadJson, BadCommand, UnknownCommand, TooLarge)  # what was published is none
OF_THE_CALLER: Errors = (AgentUnreachable, NoReply)  # nobody answers; the client says so

_PAGE: Errors = (NotReady, PageTimeout, PageCrashed, BrowserGone)
_SEND: Errors = (NotReady, Refused)

OF_COMMAND: Mapping[str, Errors] = {
    "ping": (),
    "check": (PageTimeout, PageCrashed, BrowserGone),
    "reset": (*_PAGE, ResetUnproven),
    "reload": _PAGE,
    "restart_browser": (BrowserGone,),
    "logout": (*_PAGE, StoreUnavailable),
    "backup": (*_PAGE, StoreUnavailable, Refused),
    "shutdown": (),
    "pairing_code": (*_PAGE, Refused),
    "follow_chats": (StoreUnavailable,),
    "list_chats": _PAGE,
    "list_groups": _PAGE,
    "backfill": (*_PAGE, NotFound),
    "screenshot": (*_PAGE, StoreUnavailable),
    "media_retry": (),
    "media_url": (NotFound, StoreUnavailable),
    "send_text": _SEND,
    "send_media": _SEND,
    "send_reply": _SEND,
    "send_reaction": _SEND,
    "send_status": (NotReady, NotFound),
    "carry_send": (NotReady,),
    "suppress": (NotReady,),
    "pause_sends": (NotReady,),
    "resume_sends": (NotReady,),
}


def is_foreseen(command: str, error: ContractError) -> bool:
    """Whether a command may be answered with this."""
    kinds = (*OF_EVERY_COMMAND, *OF_NO_COMMAND, *OF_COMMAND.get(command, ()))
    return error.code in {kind.code for kind in kinds}
