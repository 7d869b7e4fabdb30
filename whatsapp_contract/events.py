"""Events: the envelope and one data model for each type.

An event's `id` is its stream entry's id. On pub/sub it is in the payload; in the stream it is the entry's own.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .states import SessionState


class EventType(StrEnum):
    """The contract's types."""

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

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

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
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


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
    """A message's file. `pending` until a `media` event says `stored` or `failed`; `skipped` where it is never fetched
    (view-once)."""

    status: Literal["pending", "stored", "failed", "skipped"]
    mimetype: str | None
    size: int | None  # bytes
    sha256: str | None  # of the file, hex, as WhatsApp tells it
    filename: str | None
    width: int | None
    height: int | None


class Location(_Data):
    """Degrees. `name` is what the sender called the place."""

    latitude: float
    longitude: float
    name: str | None


class ContactCard(_Data):
    """A contact that was sent: its name, and the numbers in its vCard as they are written there."""

    name: str | None
    phones: list[str]


class Poll(_Data):
    """A question with its options; `selectable` says how many one may choose, 0 for any number."""

    question: str
    options: list[str]
    selectable: int


class MembersChange(_Data):
    """Who came or went. `change` is WhatsApp's own word (`add`, `invite`, `leave`, `remove`, `promote`, ...)."""

    change: str
    people: list[Person]


class MessageData(_Data):
    """One message. `key` is the idempotency key: drop what you have seen.

    `type`: `text`, `image`, `video`, `audio`, `voice`, `document`, `sticker`, `location`, `contact`, `poll`,
    `reaction`, `edit`, `revoke`, `join`, `leave`, else WhatsApp's own word, which is always in `raw_type`.
    `target_key` is the message that a reaction, an edit or a revocation is about; a reaction's emoji (empty when it is
    taken back) and an edit's new text are in `text`. `album_key` ties an album's photos together.
    """

    key: str
    chat_id: str
    chat_name: str | None
    is_group: bool
    author: Person
    from_me: bool
    type: str
    raw_type: str
    text: str | None
    sent_at: AwareDatetime
    quoted_key: str | None
    target_key: str | None
    album_key: str | None
    mentions: list[Person]
    forwarded: bool
    ephemeral: bool
    view_once: bool
    source: Literal["live", "backfill"]
    media: MediaRef | None
    location: Location | None
    contacts: list[ContactCard]
    poll: Poll | None
    members: MembersChange | None


class MediaData(_Data):
    """What became of a message's file: `stored` with its `url` (`s3://` or `file://`), its size and SHA-256 verified,
    or `failed` with the `error`: `too_large`, `gone` (WhatsApp has it no more, nor does the sender's phone),
    `corrupt` (it is not what its hash says), `unfetchable` (no try worked). `media_retry` tries again."""

    key: str
    chat_id: str
    from_me: bool
    status: Literal["stored", "failed"]
    url: str | None
    sha256: str | None
    size: int | None  # bytes
    mimetype: str | None
    filename: str | None
    error: str | None
    attempts: int
    took_ms: float | None  # from the message to here


class MessageAckData(_Data):
    """How far a message of ours has come: `sent` (the server has it), `delivered`, `read`, `played`, or `failed` (the
    send was given up, with the `error`'s code and why, in a sentence, as `detail`). A later stage implies the earlier
    ones; none is told twice. `by` is who received or read it, in groups; a stage by nobody is one that all of them
    have reached. `key` is null where nothing went out."""

    idempotency_key: str
    key: str | None
    chat_id: str
    ack: Literal["sent", "delivered", "read", "played", "failed"]
    by: Person | None
    error: str | None
    detail: str | None = None


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
    """The connection was reset: `how` by a reconnect, by taking the session over from another client, or by loading
    the page anew. `incident` is the id of the incident it is a part of, if any."""

    how: Literal["reconnect", "takeover", "reload"]
    cause: str
    proven: bool
    took_ms: float
    incident: str | None = None


class RestartedData(_Data):
    """The browser or the agent was started again. `starts` counts those of the start budget's window."""

    what: Literal["browser", "agent"]
    cause: str
    starts: int | None = None
    incident: str | None = None


class AlertData(_Data):
    """A person should look. `code` is for machines, `message` says what to do. `dossier` is a file in the agent's
    container with all that was known, private since it may hold what the page's console said."""

    code: str
    message: str
    incident: str | None = None
    dossier: str | None = None


EVENT_DATA: Mapping[EventType, type[BaseModel]] = {
    EventType.QR: QrData,
    EventType.AUTHENTICATED: AuthenticatedData,
    EventType.READY: ReadyData,
    EventType.AUTH_FAILURE: AuthFailureData,
    EventType.DISCONNECTED: DisconnectedData,
    EventType.STATE_CHANGED: StateChangedData,
    EventType.MESSAGE: MessageData,
    EventType.MEDIA: MediaData,
    EventType.MESSAGE_ACK: MessageAckData,
    EventType.SESSION_SAVED: SessionSavedData,
    EventType.SESSION_RESTORED: SessionRestoredData,
    EventType.RESET: ResetData,
    EventType.RESTARTED: RestartedData,
    EventType.ALERT: AlertData,
}
"""Which data an event of each type has. Nobody publishes anything else: event_script.py."""


class QrOnShow(BaseModel):
    """What the `qr` key holds, as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    payload: Annotated[str, Field(min_length=1)]
    sequence: int
    expires_at: datetime
