"""One example of each command's arguments and of each event's data, for the contract's documents; all made up."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from whatsapp_contract.events import (
    AlertData,
    AuthenticatedData,
    AuthFailureData,
    DisconnectedData,
    EventType,
    MediaData,
    MediaRef,
    MessageAckData,
    MessageData,
    Person,
    QrData,
    ReadyData,
    ResetData,
    RestartedData,
    SessionRestoredData,
    SessionSavedData,
    StateChangedData,
)
from whatsapp_contract.states import SessionState

COMMAND_ID = "0d3f6c3e-4a57-4c58-9a53-0f6a9f0b3c11"
AT = datetime(2026, 11, 23, 19, 34, 33, tzinfo=UTC)
GROUP = "120363000000000001@g.us"
KEY = f"false_{GROUP}_AC1D_393331111111@c.us"
OURS = "true_393331111111@c.us_3EB0C0FFEE"
SHA256 = "3cee94fb837150e272729354d4f78e3c8cdabda76ef0a0becc13f745d4674a60"
ANNA = Person(lid="100000000000011@lid", phone="393331111111")
INCIDENT = "20261123-193431-4f1d2a"

ARGUMENTS: dict[str, dict[str, Any]] = {
    "reset": {"cause": "support"},
    "logout": {"cause": "the account moves"},
    "pairing_code": {"phone": "+39 333 000 0001"},
    "follow_chats": {"chats": ["groups", "!Family*"]},
    "list_chats": {"followed_only": True},
    "list_groups": {"members": True},
    "backfill": {"chat_id": GROUP, "days": 2},
    "media_retry": {"keys": [KEY]},
    "media_url": {"key": KEY, "expires_in_s": 3600},
    "send_text": {"idempotency_key": "photos-of-anna-1", "chat_id": "+39 333 111 1111", "text": "Yours:"},
    "send_media": {
        "idempotency_key": "photos-of-anna-2",
        "chat_id": "393331111111@c.us",
        "source": "s3://media/photo.jpg",
        "caption": "From Saturday",
    },
    "send_reply": {"idempotency_key": "answer-7", "message_key": KEY, "text": "Thank you"},
    "send_reaction": {"idempotency_key": "thumb-7", "message_key": KEY, "reaction": "👍"},
    "send_status": {"idempotency_key": "photos-of-anna-1"},
    "carry_send": {"idempotency_key": "photos-of-anna-1"},
    "suppress": {"add": ["393332222222"]},
    "pause_sends": {"cause": "support"},
}

EVENTS: dict[EventType, BaseModel] = {
    EventType.QR: QrData(payload="2@ref,noise,identity,secret,1", sequence=1, expires_at=AT),
    EventType.AUTHENTICATED: AuthenticatedData(restored=False),
    EventType.READY: ReadyData(account=Person(lid="100000000000001@lid", phone="393330000001")),
    EventType.AUTH_FAILURE: AuthFailureData(reason="the kept profile is unpaired"),
    EventType.DISCONNECTED: DisconnectedData(reason="link_silent", state=SessionState.DISCONNECTED),
    EventType.STATE_CHANGED: StateChangedData(
        previous=SessionState.READY, state=SessionState.DISCONNECTED, reason="link_silent"
    ),
    EventType.MESSAGE: MessageData(
        key=KEY,
        chat_id=GROUP,
        chat_name="Family photos",
        is_group=True,
        author=ANNA,
        from_me=False,
        type="image",
        raw_type="image",
        text="From Saturday",
        sent_at=AT,
        quoted_key=None,
        target_key=None,
        album_key=None,
        mentions=[],
        forwarded=False,
        ephemeral=False,
        view_once=False,
        source="live",
        media=MediaRef(
            status="pending",
            mimetype="image/jpeg",
            size=204_800,
            sha256=SHA256,
            filename=None,
            width=1600,
            height=1200,
        ),
        location=None,
        contacts=[],
        poll=None,
        members=None,
    ),
    EventType.MEDIA: MediaData(
        key=KEY,
        chat_id=GROUP,
        from_me=False,
        status="stored",
        url=f"s3://media/media/shula-whatsapp/2026/11/23/{SHA256}.jpg",
        sha256=SHA256,
        size=204_800,
        mimetype="image/jpeg",
        filename=None,
        error=None,
        attempts=0,
        took_ms=420.2,
    ),
    EventType.MESSAGE_ACK: MessageAckData(
        idempotency_key="photos-of-anna-1", key=OURS, chat_id="393331111111@c.us", ack="read", by=None, error=None
    ),
    EventType.SESSION_SAVED: SessionSavedData(
        generation="000003-20261123T193433Z-4f1d",
        cause="interval",
        is_new=True,
        stored_bytes=1_843_200,
        profile_bytes=9_437_184,
        encrypted=True,
        stood_still_ms=38.0,
        took_ms=911.4,
    ),
    EventType.SESSION_RESTORED: SessionRestoredData(
        generation="000003-20261123T193433Z-4f1d",
        generation_epoch=3,
        created_at=AT,
        stored_bytes=1_843_200,
        passed_over=[],
        took_ms=640.8,
    ),
    EventType.RESET: ResetData(how="reconnect", cause="link_silent", proven=True, took_ms=812.4, incident=INCIDENT),
    EventType.RESTARTED: RestartedData(what="browser", cause="browser_gone", starts=1),
    EventType.ALERT: AlertData(
        code="recovery_holds", message="The session is not well (link_silent), …", incident=INCIDENT
    ),
}
