"""Messages in: none is lost for an odd field, and each is told once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from browser_agent.event_log import EventLog
from browser_agent.inbox import Inbox
from browser_agent.whatsapp.models import MessageSeen, PageMessage, page_event
from whatsapp_contract.events import EventType, MessageData

SENT_AT = datetime(2026, 11, 23, 19, 34, 33, tzinfo=UTC)
MESSAGE: dict[str, Any] = {
    "key": "false_120363000000000001@g.us_AC1D_393331111111@c.us",
    "chat_id": "120363000000000001@g.us",
    "chat_name": "Family photos",
    "is_group": True,
    "author": {"lid": None, "phone": "393331111111:2@c.us"},
    "from_me": False,
    "type": "image",
    "text": "hello",
    "t": int(SENT_AT.timestamp()),
    "quoted_key": None,
    "forwarded": False,
    "ephemeral": False,
    "media": {
        "mimetype": "image/jpeg",
        "size": 3,
        "filehash": "AAEC",
        "filename": None,
        "width": 4,
        "height": 5,
    },
}


class Published(EventLog):
    """An event log that keeps what it is given; it can be told to fail."""

    def __init__(self) -> None:
        self.messages: list[MessageData] = []
        self.occurred: list[datetime | None] = []
        self.fails = False

    def publish(self, event_type: EventType, data: BaseModel, occurred_at: datetime | None = None) -> None:
        if self.fails:
            raise ConnectionError
        assert isinstance(data, MessageData)
        assert event_type is EventType.MESSAGE
        self.messages.append(data)
        self.occurred.append(occurred_at)


def told(**changes: Any) -> PageMessage:
    """The message as it comes from the page."""
    event = page_event.validate_json(json.dumps({"kind": "message", "message": {**MESSAGE, **changes}}))
    assert isinstance(event, MessageSeen)
    return event.message


@pytest.fixture
def log() -> Published:
    return Published()


def test_a_message_is_told_once(log: Published) -> None:
    inbox = Inbox(log)
    inbox.take(told())
    inbox.take(told())
    (message,) = log.messages
    assert message.author.phone == "393331111111"
    assert message.media is not None
    assert message.media.sha256 == "000102"
    assert log.occurred == [SENT_AT]


def test_a_message_that_could_not_be_published_is_not_taken_for_told(log: Published) -> None:
    inbox = Inbox(log)
    log.fails = True
    with pytest.raises(ConnectionError):
        inbox.take(told())
    log.fails = False
    inbox.take(told())
    assert len(log.messages) == 1


def test_milliseconds_are_recognised(log: Published) -> None:
    Inbox(log).take(told(t=int(SENT_AT.timestamp()) * 1000 + 7))
    assert log.messages[0].sent_at == SENT_AT


@pytest.mark.parametrize("absurd", [None, 0, -5, 2**53, 10**300, "soon", 1.5])
def test_an_absurd_time_is_now(log: Published, absurd: Any) -> None:
    Inbox(log).take(told(t=absurd))
    assert abs(log.messages[0].sent_at - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("field", ["mimetype", "size", "filehash", "filename", "width", "height"])
def test_an_odd_field_of_the_media_is_left_out(log: Published, field: str) -> None:
    Inbox(log).take(told(media={**MESSAGE["media"], field: [1.5]}))
    media = log.messages[0].media
    assert media is not None
    assert getattr(media, {"filehash": "sha256"}.get(field, field)) is None
    assert log.messages[0].text == "hello"


def test_a_fractional_width_and_media_that_is_none(log: Published) -> None:
    inbox = Inbox(log)
    inbox.take(told(media={**MESSAGE["media"], "width": 1080.5}))
    inbox.take(told(key="other", media="odd"))
    first, second = log.messages
    assert first.media is not None
    assert (first.media.width, first.media.height) == (None, 5)
    assert second.media is None


def test_what_is_known_is_told(log: Published) -> None:
    known = ("key", "chat_id", "is_group", "from_me", "type")
    bare = {"kind": "message", "message": {name: MESSAGE[name] for name in known}}
    event = page_event.validate_json(json.dumps(bare))
    assert isinstance(event, MessageSeen)
    Inbox(log).take(event.message)
    assert log.messages[0].key == MESSAGE["key"]
    assert log.messages[0].author.phone is None
