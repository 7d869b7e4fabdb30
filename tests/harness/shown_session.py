"""What a page is to show: written to Redis through the contract's models, as an agent and its watchdog would."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from pydantic import BaseModel

from whatsapp_contract.events import (
    AlertData,
    Event,
    MediaData,
    MediaRef,
    MessageData,
    Person,
    QrOnShow,
    ResetData,
    RestartedData,
    SessionSavedData,
    StateChangedData,
)
from whatsapp_contract.health import Verdict
from whatsapp_contract.history import Minute
from whatsapp_contract.incidents import Incident, RungTaken
from whatsapp_contract.media_record import MediaRecord, MediaState
from whatsapp_contract.names import SessionNames
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import DeadLetter, letter_id

from .web_process import INSTANCE, SESSION

CHAT = "120363000000000001@g.us"
SECRET_TEXT, SECRET_NAME = "see you at the lake", "Family photos"


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


class ShownSession:
    """One session's keys."""

    def __init__(self, client: "redis.Redis") -> None:
        self.redis = client
        self.names = SessionNames(SESSION)
        self._seq = itertools.count(1)

    def empty(self) -> None:
        self.redis.flushall()

    def status(self, **changes: Any) -> None:
        """An agent that is ready and was heard just now, but for the changes."""
        moment = datetime.now(UTC)
        known: dict[str, Any] = {
            "session_id": SESSION,
            "instance": INSTANCE,
            "pid": 7,
            "epoch": 3,
            "started_at": ago(hours=30),
            "heartbeat_at": moment,
            "state": SessionState.READY,
            "since": ago(hours=3, minutes=12),
            "verdict": Verdict.HEALTHY,
            "verdict_reason": "ready",
            "browser_seen_at": moment,
            "page_seen_at": moment,
            "page_took_ms": 4.2,
            "frame_seen_at": moment,
            "link_asked_after_s": 40.0,
            "authenticated": True,
            "message_event_at": ago(minutes=4),
            "memory_bytes": 412_000_000,
            "memory_seen_at": moment,
            "memory_limit_bytes": 900_000_000,
            "loop_lag_ms": 2.0,
            "session_store": "s3://shula-whatsapp-sessions",
            "session_generation": "000007-20261125T054802Z-d151eb",
            "session_saved_at": ago(minutes=3),
            "session_verified_at": ago(minutes=3),
            "session_bytes": 23_400_000,
            "service_version": "0.1.0",
            "browser_version": "Chrome/141.0.7390.65",
            "wa_js_version": "4.6.0",
            "whatsapp_web_version": "2.3000.1029000000",
        }
        written: dict[Any, Any] = dict(Status.model_validate({**known, **changes}).to_hash())
        self.redis.hset(self.names.status, mapping=written)

    def waiting(self, sequence: int = 1, lasts_s: float = 60.0) -> None:
        """No phone is linked, and a code is on show."""
        shown = QrOnShow(
            payload=f"2@{sequence}" + "AbCdEfGh" * 25,
            sequence=sequence,
            expires_at=datetime.now(UTC) + timedelta(seconds=lasts_s),
        )
        self.redis.set(self.names.qr, shown.model_dump_json(), px=int(lasts_s * 1000))
        self.status(
            state=SessionState.AWAITING_SCAN,
            since=ago(seconds=9),
            authenticated=False,
            frame_seen_at=None,
            verdict=Verdict.WAITING_FOR_PERSON,
            verdict_reason="awaiting_scan",
        )

    def scanned(self) -> None:
        self.redis.delete(self.names.qr)
        self.status(since=datetime.now(UTC))

    def event(self, event_type: str, data: BaseModel, at: datetime | None = None) -> str:
        """Told; its id."""
        moment = at or datetime.now(UTC)
        event = Event(
            type=event_type,
            session_id=SESSION,
            epoch=3,
            seq=next(self._seq),
            occurred_at=moment,
            observed_at=moment,
            data=data.model_dump(mode="json"),
        )
        entry: Any = self.redis.xadd(self.names.events, {"event": event.model_dump_json(exclude={"id"})})
        return str(entry)

    def message(self, number: int, **changes: Any) -> str:
        known: dict[str, Any] = dict.fromkeys(MessageData.model_fields)
        known |= {
            "key": f"false_{CHAT}_AC{number:04d}_393331111111@c.us",
            "chat_id": CHAT,
            "chat_name": SECRET_NAME,
            "is_group": True,
            "author": Person(lid=None, phone="393331111111"),
            "from_me": False,
            "type": "text",
            "raw_type": "chat",
            "text": SECRET_TEXT,
            "sent_at": datetime.now(UTC),
            "mentions": [],
            "forwarded": False,
            "ephemeral": False,
            "view_once": False,
            "source": "live",
            "contacts": [],
        }
        return self.event("message", MessageData.model_validate({**known, **changes}))

    def photo(self, number: int, error: str | None = None) -> MediaRecord:
        """A file of the ledger: stored, or given up."""
        record = MediaRecord(
            key=f"false_{CHAT}_FE{number:04d}_393331111111@c.us",
            chat_id=CHAT,
            sent_at=ago(minutes=9).timestamp(),
            seen_at=ago(minutes=9).timestamp(),
            state=MediaState.FAILED if error else MediaState.STORED,
            mimetype="image/jpeg",
            size=184_000 + number,
            attempts=3 if error else 0,
            problem="the server answered 404" if error else None,
            error=error,
            url=None if error else f"s3://photos/{number}.jpg",
            ended_at=ago(minutes=8).timestamp(),
        )
        self.redis.hset(self.names.media, record.key, record.model_dump_json())
        kept = self.names.media_failed if error else self.names.media_stored
        self.redis.zadd(kept, {record.key: record.ended_at or 0.0})
        return record

    def incident(self, number: int, **changes: Any) -> Incident:
        found = ago(minutes=17 * number)
        known: dict[str, Any] = {
            "id": f"i{number:04d}",
            "instance": INSTANCE,
            "verdict": Verdict.DISCONNECTED,
            "reason": "link_silent",
            "bad_since": found - timedelta(seconds=6),
            "found_at": found,
            "rungs": (
                RungTaken(rung="reset", cause="disconnected: link_silent", at=found, error="reset_unproven"),
                RungTaken(
                    rung="reload",
                    cause="disconnected: link_silent",
                    at=found + timedelta(seconds=20),
                    took_ms=2300.0,
                ),
            ),
            "ended_at": found + timedelta(seconds=31),
            "cured_by": "reload",
            "ended_as": "healthy",
            "not_ready_s": 37.0,
        }
        incident = Incident.model_validate({**known, **changes})
        self.redis.hset(self.names.incidents, incident.id, incident.model_dump_json())
        self.redis.zadd(self.names.incidents_order, {incident.id: incident.found_at.timestamp()})
        return incident

    def history(self) -> None:
        """A day of checks, six in each minute: twelve minutes of trouble three hours ago, and an hour without any."""
        last = datetime.now(UTC).replace(second=0, microsecond=0)
        minutes = []
        for back in range(1439, -1, -1):
            if 600 <= back < 660:
                continue
            is_bad = 180 <= back < 192
            minutes.append(
                Minute(
                    at=int((last - timedelta(minutes=back)).timestamp()),
                    verdict=Verdict.DISCONNECTED if is_bad else Verdict.HEALTHY,
                    reason="link_silent" if is_bad else "ready",
                    checks=6,
                    bad=6 if is_bad else 0,
                    took_ms=(3, 4, 4, 4, 5, 90 if back == 0 else 9),
                    memory_bytes=400_000_000,
                ).to_json()
            )
        self.redis.lpush(self.names.history, *minutes)

    def webhooks(self) -> str:
        """One that fails for twelve minutes, with a dead letter; the letter's id."""
        hook = hook_id("https://backend.example.org/hook?key=private")
        entry = "1764000000000-0"
        facts = {
            "host": "backend.example.org",
            "delivered": "833",
            "failures": "33",
            "dead": "1",
            "succeeded_at": str(ago(minutes=13).timestamp()),
            "failing_since": str(ago(minutes=12).timestamp()),
            "failed_at": str(ago(minutes=1).timestamp()),
            "error": "503",
        }
        self.redis.hset(self.names.webhooks, mapping={f"{hook}.{fact}": value for fact, value in facts.items()})
        letter = DeadLetter(
            id=letter_id(hook, entry),
            hook=hook,
            host="backend.example.org",
            body=json.dumps({"id": entry, "type": "message"}),
            reason="404 Not Found",
            attempts=8,
            died_at=ago(minutes=3),
        )
        self.redis.zadd(self.names.webhook_dead(hook), {letter.id: letter.died_at.timestamp()})
        self.redis.hset(self.names.webhook_letters(hook), letter.id, letter.model_dump_json())
        return letter.id

    def eventful(self) -> None:
        """Some of everything."""
        self.status()
        self.event(
            "state_changed",
            StateChangedData(previous=SessionState.SYNCING, state=SessionState.READY, reason=None),
            ago(hours=3),
        )
        self.event("reset", ResetData(how="reconnect", cause="schedule", proven=True, took_ms=812.0), ago(hours=1))
        for number in range(12):
            self.message(number)
        media = MediaRef(
            status="pending", mimetype="image/jpeg", size=184_000, sha256=None, filename=None, width=800, height=600
        )
        self.message(12, type="image", raw_type="image", text=None, media=media)
        self.event(
            "media",
            MediaData(
                key="k", chat_id=CHAT, from_me=False, status="stored", url="s3://photos/k.jpg", sha256=None,
                size=184_000, mimetype="image/jpeg", filename=None, error=None, attempts=0, took_ms=312.0,
            ),
        )  # fmt: skip
        self.event(
            "session_saved",
            SessionSavedData(
                generation="000007-20261125T054802Z-d151eb", cause="interval", is_new=True, stored_bytes=23_400_000,
                profile_bytes=61_000_000, encrypted=True, stood_still_ms=38.0, took_ms=1400.0,
            ),
        )  # fmt: skip
        self.event("restarted", RestartedData(what="browser", cause="page_hung: page_silent", starts=2))
        self.event(
            "alert",
            AlertData(code="recovery_holds", message="The session is not well, and reset did not cure it for long."),
        )
        for number in range(1, 6):
            self.photo(number)
        for number, error in enumerate(("gone", "unfetchable", "too_large"), 100):
            self.photo(number, error)
        for number in range(1, 5):
            self.incident(number)
        self.incident(5, verdict=Verdict.PAGE_HUNG, reason="page_silent", cured_by="itself", rungs=())
        self.redis.xgroup_create(self.names.events, "photos", "0", mkstream=True)
