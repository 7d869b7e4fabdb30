"""One send, as it is kept in Redis from its acceptance until a week after its end."""

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from .addresses import canonical, chat_of
from .arguments import SendMediaArgs, SendReactionArgs, SendReplyArgs, SendTextArgs
from .kept_records import EpochSeconds
from .results import SendResult, SendStatus

KEPT_AFTER_END_S = 7 * 24 * 3600

SendArgs = SendTextArgs | SendMediaArgs | SendReplyArgs | SendReactionArgs


class Kind(StrEnum):
    """What is sent."""

    TEXT = "text"
    MEDIA = "media"
    REPLY = "reply"
    REACTION = "reaction"


_KINDS: dict[type[SendArgs], Kind] = {
    SendTextArgs: Kind.TEXT,
    SendMediaArgs: Kind.MEDIA,
    SendReplyArgs: Kind.REPLY,
    SendReactionArgs: Kind.REACTION,
}


class SendRecord(BaseModel):
    """Times are epoch seconds, by Redis' clock. `tried_at` is when it was first given to the page: from then on it may
    have gone out. At its end only `kind` is left of the arguments: texts and addresses of files are nobody's then."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    idempotency_key: str
    kind: Kind
    chat_id: str
    args: dict[str, Any]
    digest: str
    message_id: str
    accepted_at: EpochSeconds
    status: SendStatus = "queued"
    attempts: int = 0  # how often it was given to the page
    tried_at: EpochSeconds | None = None
    failures: int = 0  # of the page
    unknown_chat: int = 0  # how often the page did not know the group, before it was ever given to it
    source_failures: int = 0  # to have the file
    broken_off: int = 0  # with the link
    refusals: int = 0  # by WhatsApp's server
    given_up: str | None = None  # why it is only looked for, and not sent any more
    message_key: str | None = None
    sent_at: EpochSeconds | None = None
    error: str | None = None
    detail: str | None = None  # `error` in a sentence, without numbers, texts and addresses

    @property
    def tries(self) -> int:
        """What the backend is told: with what was in vain for its file."""
        return self.attempts + self.source_failures

    def result(self) -> SendResult:
        """What the backend is told."""
        return SendResult(
            idempotency_key=self.idempotency_key,
            status=self.status,
            chat_id=self.chat_id,
            message_key=self.message_key,
            error=self.error,
            detail=self.detail,
            kind=self.kind.value,
            attempts=self.tries,
            accepted_at=datetime.fromtimestamp(self.accepted_at, UTC),
            sent_at=None if self.sent_at is None else datetime.fromtimestamp(self.sent_at, UTC),
        )

    def is_voice(self) -> bool:
        return self.args.get("kind") == "voice"

    def ended(self, status: SendStatus, **changes: Any) -> "SendRecord":
        kept = {name: value for name, value in self.args.items() if name == "kind"}
        return self.changed(status=status, args=kept, **changes)

    def changed(self, **changes: Any) -> "SendRecord":
        return self.model_copy(update=changes)


def new_record(session_id: str, args: SendArgs, now: float) -> SendRecord:
    """The record of a send that is just accepted. Raises BadArguments for an address that can be none."""
    kind = _KINDS[type(args)]
    chat_id = (
        chat_of(args.message_key) if isinstance(args, SendReplyArgs | SendReactionArgs) else canonical(args.chat_id)
    )
    content = args.model_dump(exclude={"idempotency_key", "chat_id"})
    if "mentions" in content:
        content["mentions"] = [canonical(address) for address in content["mentions"]]
    digest = _digest(kind, chat_id, content)
    return SendRecord(
        idempotency_key=args.idempotency_key,
        kind=kind,
        chat_id=chat_id,
        args=content,
        digest=digest,
        message_id=message_id(session_id, args.idempotency_key, digest),
        accepted_at=now,
    )


def message_id(session_id: str, idempotency_key: str, content_digest: str) -> str:
    """The id of the message that a send becomes, in the form of WhatsApp Web's own: however often it is sent, it is
    one message, and it can be looked for. A key that was forgotten and comes with another content is another one."""
    digest = hashlib.sha256(f"{session_id}\0{idempotency_key}\0{content_digest}".encode()).hexdigest()
    return f"3EB0{digest[:18].upper()}"


def _digest(kind: Kind, chat_id: str, content: dict[str, Any]) -> str:
    canonical_json = json.dumps([kind.value, chat_id, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical_json.encode()).hexdigest()
