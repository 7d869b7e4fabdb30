"""What the ledger knows of one file."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from .events import MediaData, MessageData
from .kept_records import EpochSeconds


class MediaState(StrEnum):
    """How far a file has come. All but the last two are worked off."""

    SEEN = "seen"  # its message was told
    FETCHED = "fetched"  # its bytes are on this machine's disk
    VERIFIED = "verified"  # and are what WhatsApp says they are
    STORED = "stored"
    FAILED = "failed"  # a dead letter; `error` says why


ENDED = frozenset({MediaState.STORED, MediaState.FAILED})


class MediaRecord(BaseModel):
    """One file, by its message's key. Times are epoch seconds.

    Neither the key that decrypts it nor any of its bytes are in Redis.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    key: str
    chat_id: str
    sent_at: EpochSeconds
    seen_at: EpochSeconds
    state: MediaState = MediaState.SEEN
    mimetype: str | None = None
    size: int | None = None  # as WhatsApp tells it, in the end as it was counted
    sha256: str | None = None  # hex; likewise
    filename: str | None = None
    attempts: int = 0  # tries that failed for a reason of the file's own
    interrupted: int = 0  # tries that the page's or the link's end cut short
    crashed: int = 0  # of these those that somebody died over
    asked_again: int = 0  # how often the sender's phone was asked to upload it again
    round: int = 0  # how often a dead letter was tried anew
    problem: str | None = None  # what the last try failed for
    url: str | None = None  # of one that is on its way: where it was stored once
    error: str | None = None
    ended_at: EpochSeconds | None = None

    @classmethod
    def of(cls, message: MessageData, now: float) -> "MediaRecord":
        """As its message tells it."""
        media = message.media
        assert media is not None
        return cls(
            key=message.key,
            chat_id=message.chat_id,
            sent_at=message.sent_at.timestamp(),
            seen_at=now,
            mimetype=media.mimetype,
            size=media.size,
            sha256=media.sha256,
            filename=media.filename,
        )

    @classmethod
    def lost(cls, key: str, now: float) -> "MediaRecord":
        """Of a key of which nothing can be known any more, a dead letter that says so."""
        parts = key.split("_")
        return cls(
            key=key,
            chat_id=parts[1] if len(parts) > 1 else "",
            sent_at=now,
            seen_at=now,
            state=MediaState.FAILED,
            problem="lost",
            error="unfetchable",
            ended_at=now,
        )

    def changed(self, **fields: object) -> "MediaRecord":
        return self.model_copy(update=fields)

    def told(self) -> MediaData:
        """What its `media` event says: only of a record that has ended."""
        took_ms = None if self.ended_at is None else round((self.ended_at - self.seen_at) * 1000, 1)
        return MediaData(
            key=self.key,
            chat_id=self.chat_id,
            from_me=self.key.startswith("true_"),
            status="stored" if self.state is MediaState.STORED else "failed",
            url=self.url,
            sha256=self.sha256,
            size=self.size,
            mimetype=self.mimetype,
            filename=self.filename,
            error=self.error,
            attempts=self.attempts,
            took_ms=took_ms,
        )
