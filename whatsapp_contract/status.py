"""The status hash: what the agent says of itself, with times, for every reader."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from .health import Facts, Verdict
from .states import SessionState


def _split(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


# Words with blanks between them, in the hash.
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Status(BaseModel):
    """One field of the hash each; facts lie flat beside the rest. Empty strings stand for null.

    `heartbeat_at` is renewed every HEARTBEAT_S while the agent's loop turns, whatever the browser does.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    session_id: str
    instance: str
    pid: int
    epoch: int
    started_at: AwareDatetime
    heartbeat_at: AwareDatetime
    state: SessionState
    since: AwareDatetime
    timed_since: AwareDatetime | None = None
    coming_up_since: AwareDatetime | None = None
    reason: str | None = None
    verdict: Verdict
    verdict_reason: str
    operation: str | None = None
    held_until: AwareDatetime | None = None
    browser_pid: int | None = None
    browser_seen_at: AwareDatetime | None = None
    page_seen_at: AwareDatetime | None = None
    page_took_ms: float | None = None
    frame_seen_at: AwareDatetime | None = None
    link_asked_at: AwareDatetime | None = None
    link_answered_at: AwareDatetime | None = None
    link_asked_after_s: float | None = None
    injected: bool | None = None
    broken_calls: Words = ()
    stream_mode: str | None = None
    stream_info: str | None = None
    socket_state: str | None = None
    online: bool | None = None
    authenticated: bool | None = None
    site_answered_at: AwareDatetime | None = None
    site_silent_since: AwareDatetime | None = None
    browser_offline_since: AwareDatetime | None = None
    stored_message_at: AwareDatetime | None = None
    told_message_at: AwareDatetime | None = None
    unheard_since: AwareDatetime | None = None
    message_event_at: AwareDatetime | None = None
    memory_bytes: int | None = None
    memory_seen_at: AwareDatetime | None = None
    memory_limit_bytes: int | None = None
    loop_lag_ms: float | None = None
    refused_commands: int = 0
    dropped_events: int = 0
    session_store: str | None = None  # where it is kept: `s3://bucket` or a folder
    session_generation: str | None = None  # the newest that is known to be there
    session_saved_at: AwareDatetime | None = None
    session_verified_at: AwareDatetime | None = None
    session_bytes: int | None = None  # as stored
    session_save_took_ms: float | None = None  # the last save of this agent's life
    session_stood_still_ms: float | None = None  # for how long the browser was stopped for it
    session_problem: str | None = None  # why it cannot be restored or saved at present
    service_version: str | None = None
    browser_version: str | None = None
    wa_js_version: str | None = None
    whatsapp_web_version: str | None = None

    @property
    def facts(self) -> Facts:
        """The facts as of the last heartbeat."""
        return Facts.model_validate({**self.model_dump(), "observed_at": self.heartbeat_at})

    @property
    def versions(self) -> str:
        """What it is made of, as a person reads it."""
        known = {
            "service": self.service_version,
            "browser": self.browser_version,
            "wa-js": self.wa_js_version,
            "WhatsApp Web": self.whatsapp_web_version,
        }
        return ", ".join(f"{name} {version or 'not known'}" for name, version in known.items())

    def to_hash(self) -> dict[str, str]:
        """Field to text, as HSET takes it."""
        fields: dict[str, Any] = self.model_dump(mode="json")
        return {name: _text(value) for name, value in fields.items()}

    @classmethod
    def from_hash(cls, fields: dict[str, str]) -> "Status | None":
        """None where no agent has ever written; raises ValueError where something else did."""
        if not fields:
            return None
        return cls.model_validate({name: value for name, value in fields.items() if value != ""})

    def age_s(self, now: datetime) -> float:
        """Seconds since the agent's last sign of life."""
        return (now - self.heartbeat_at).total_seconds()


HEARTBEAT_S = 5.0
SILENT_AFTER_S = 4 * HEARTBEAT_S  # without one the agent is not there, for whoever asks


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else str(value)
