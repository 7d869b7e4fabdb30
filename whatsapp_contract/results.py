"""What each command answers."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from .health import Facts, Verdict
from .states import SessionState


class _Result(BaseModel):
    """Results may gain fields, so a reader ignores what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class PingResult(_Result):
    """The process answers. `held_until` is set while the start budget keeps the browser away."""

    instance: str
    pid: int
    epoch: int
    state: SessionState
    operation: str | None
    held_until: datetime | None


class CheckResult(_Result):
    """The page answers. While an operation runs it is named, with how long it has been running, and the facts may be
    old."""

    facts: Facts
    verdict: Verdict
    reason: str
    operation: str | None
    operation_s: float | None = None


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


class PairingCodeResult(_Result):
    """`code` is what a person types into the phone, as `ABCD-EFGH`; it is a login, to be kept from logs. WhatsApp Web
    takes it until `expires_at`. A `qr` event before that says that it is void, as is every code when another is asked
    for."""

    code: str
    expires_at: AwareDatetime
    took_ms: float


# -- results: chats and messages


class FollowChatsResult(_Result):
    """`since`: chats that have no watermark of their own are told from then on. `matching` counts the chats that fit
    the rules now; null where the page cannot say. 0 may be a slip of the pen."""

    chats: list[str]
    since: AwareDatetime | None
    matching: int | None


class ChatInfo(_Result):
    id: str
    name: str | None
    is_group: bool
    followed: bool
    last_message_at: AwareDatetime | None
    unread: int | None
    archived: bool


class ListChatsResult(_Result):
    chats: list[ChatInfo]


class GroupMember(_Result):
    lid: str | None
    phone: str | None
    name: str | None
    is_admin: bool


class GroupInfo(_Result):
    """`members` is empty where they were not asked for; `size` counts them all the same."""

    id: str
    name: str | None
    size: int
    followed: bool
    created_at: AwareDatetime | None
    members: list[GroupMember]


class ListGroupsResult(_Result):
    groups: list[GroupInfo]


class BackfillResult(_Result):
    """`told` messages of `chats` chats became events with `source` `backfill`. Not `complete` where the page could not
    get all that was asked for; the log says why."""

    chats: int
    told: int
    complete: bool
    took_ms: float


class ScreenshotResult(_Result):
    """A PNG under DATA_DIR; the last twenty are kept. It shows what is on the page: names, texts, the QR code."""

    path: str
    size: int  # bytes
    took_ms: float


class MediaRetryResult(_Result):
    """`unknown` are keys of no file that failed."""

    retried: int
    unknown: list[str]


class MediaUrlResult(_Result):
    """A link that needs no credentials until `expires_at`, or a file's own address, which does not expire."""

    url: str
    expires_at: AwareDatetime | None


SendStatus = Literal["queued", "sent", "failed"]


class SendResult(_Result):
    """How a send stands. `message_key` is known from the first try on; `error` is the code of why it was given up, or
    waits, and `detail` says it in a sentence. `attempts` counts how often its file was asked for in vain, too.
    `next_try_at` is when one that waits is tried next, where a time is all it waits for."""

    idempotency_key: str
    status: SendStatus
    chat_id: str
    message_key: str | None
    error: str | None
    attempts: int
    accepted_at: AwareDatetime
    sent_at: AwareDatetime | None
    kind: Literal["text", "media", "reply", "reaction"] | None = None
    detail: str | None = None
    next_try_at: AwareDatetime | None = None


class CarrySendResult(_Result):
    """For the worker: whether the send has its end, or when it is to be carried again."""

    done: bool
    retry_in_s: float | None


class SuppressResult(_Result):
    suppressed: list[str]


class SendsStateResult(_Result):
    """`stopped` says why nothing is sent at present."""

    stopped: str | None
    open: int


class ShutdownResult(_Result):
    """The container was told to stop."""
