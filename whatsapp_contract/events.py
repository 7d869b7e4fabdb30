"""Events: the envelope and one data model for each type.

An event's `id` is its stream entry's id. On pub/sub it is in the payload; in the stream it is the entry's own.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .states import SessionState


class EventType(StrEnum):
    """The contract's types. `media` and `message_ack` are not sent yet."""

    QR = "qr"
    AUTHENTICATED = "authenticated"
    READY = "ready"
    AUTH_FAILURE = "auth_failure"
    DISCONNECTED = "disconnected"
    STATE_CHANGED = "state_changed"
    MESSAGE = "message"
    MEDIA = "media"
    MESSAGE_ACK = "message_ack"
    SESSION_SAVED = "session_saved"
    SESSION_RESTORED = "session_restored"
    RESET = "reset"
    RESTARTED = "restarted"
    ALERT = "alert"


class Event(BaseModel):
    """The envelope. `epoch` is the fencing token of the agent's life that spoke (or was spoken of)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    type: str
    session_id: str
    epoch: int
    seq: int
    occurred_at: AwareDatetime
    observed_at: AwareDatetime
    data: dict[str, Any]
    id: str | None = None


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(_Data):
    """Either may be unknown: groups give a `@lid` whose phone number the account may not know."""

    lid: str | None
    phone: str | None


class QrData(_Data):
    """A code to be scanned. `sequence` counts the codes of this agent's life; `payload` is what the QR encodes."""

    payload: str
    sequence: int
    expires_at: AwareDatetime


class AuthenticatedData(_Data):
    """The account is known. `restored` says that no scan was needed."""

    restored: bool


class ReadyData(_Data):
    """Messages flow. `account` is the account's own address."""

    account: Person | None


class AuthFailureData(_Data):
    """A kept profile turned out to be unpaired: a person must scan."""

    reason: str


class DisconnectedData(_Data):
    """The session left ready, or lost the account. `state` is what it is in now.

    Reasons. The link: `link_dropped`, `link_silent`, `offline`. An operation of ours, by its command's name: `reset`,
    `reload`, `restart_browser`, `logout`, `backup`. The browser: `page_reloaded`, `page_crashed`, `browser_gone`,
    `page_timeout`. The account: `logged_out`, `conflict`, `proxyblock`, `tos_block`, `smb_tos_block`,
    `deprecated_version`. The service's end: `stopping`. More may come.
    """

    reason: str
    state: SessionState


class StateChangedData(_Data):
    previous: SessionState
    state: SessionState
    reason: str | None


class MediaRef(_Data):
    """A message's file. `pending` until a `media` event says `stored` or `failed`."""

    status: Literal["pending", "stored", "failed"]
    mimetype: str | None
    size: int | None
    sha256: str | None
    filename: str | None
    width: int | None
    height: int | None


class MessageData(_Data):
    """One message. `key` is the idempotency key: drop what you have seen."""

    key: str
    chat_id: str
    chat_name: str | None
    is_group: bool
    author: Person
    from_me: bool
    type: str
    text: str | None
    sent_at: AwareDatetime
    quoted_key: str | None
    forwarded: bool
    ephemeral: bool
    source: Literal["live", "backfill"]
    media: MediaRef | None


class SessionSavedData(_Data):
    """The session is safe in its store: read back and verified. `is_new` is false where nothing had changed since the
    generation was stored, which was then verified once more."""

    generation: str
    cause: str  # `interval`, `first_ready`, `stop`, or whoever asked
    is_new: bool
    stored_bytes: int
    profile_bytes: int
    encrypted: bool
    stood_still_ms: float  # how long the browser was stopped to copy its profile
    took_ms: float


class SessionRestoredData(_Data):
    """The session came from its store, before the browser was started. `passed_over` are newer generations that could
    not be used."""

    generation: str
    generation_epoch: int
    created_at: AwareDatetime
    stored_bytes: int
    passed_over: list[str]
    took_ms: float


class ResetData(_Data):
    """The connection was reset: `how` by a reconnect, or by loading the page anew."""

    how: Literal["reconnect", "reload"]
    cause: str
    proven: bool
    took_ms: float


class RestartedData(_Data):
    """The browser or the agent was started again. `starts` counts those of the start budget's window."""

    what: Literal["browser", "agent"]
    cause: str
    starts: int | None = None


class AlertData(_Data):
    """A person should look. `code` is for machines, `message` says what to do."""

    code: str
    message: str


class QrOnShow(BaseModel):
    """What the `qr` key holds, as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    payload: Annotated[str, Field(min_length=1)]
    sequence: int
    expires_at: datetime
