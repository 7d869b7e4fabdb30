"""Messages in: none is lost for an odd field, and what must be true with it is done in the same step."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakeredis.aioredis import FakeRedis
from pydantic import BaseModel

from browser_agent.event_log import EventLog
from browser_agent.follow import Follow
from browser_agent.inbox import Inbox
from browser_agent.watermarks import Mark, Watermarks
from browser_agent.whatsapp.models import MessageSeen, PageMessage, page_event
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.events import EventType, MessageData
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
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
    """An event log that keeps what it is given; each claim is told once."""

    def __init__(self) -> None:
        self.messages: list[MessageData] = []
        self.occurred: list[datetime | None] = []
        self.also: list[list[RedisCommand]] = []
        self._claims: set[str] = set()

    def publish(
        self,
        event_type: EventType,
        data: BaseModel,
        occurred_at: datetime | None = None,
        *,
        claim: str | None = None,
        also: Sequence[RedisCommand] = (),
        sent: Callable[[bool], None] | None = None,
    ) -> None:
        assert isinstance(data, MessageData)
        assert event_type is EventType.MESSAGE
        assert sent is not None
        if claim in self._claims:
            sent(False)
            return
        self._claims.add(claim or "")
        self.messages.append(data)
        self.occurred.append(occurred_at)
        self.also.append(list(also))
        sent(True)


def told(**changes: Any) -> PageMessage:
    """The message as it comes from the page."""
    event = page_event.validate_json(json.dumps({"kind": "message", "message": {**MESSAGE, **changes}}))
    assert isinstance(event, MessageSeen)
    return event.message


@pytest.fixture
def log() -> Published:
    return Published()


@pytest.fixture
def watermarks(tmp_path: Path) -> Watermarks:
    return Watermarks(FakeRedis(), NAMES, tmp_path / "watermarks.json")


@pytest.fixture
def inbox(log: Published, watermarks: Watermarks, tmp_path: Path) -> Inbox:
    return Inbox(
        log,
        Follow(FakeRedis(), NAMES, ("groups",), tmp_path / "follow.json"),
        watermarks,
        lambda data: [("ENTER", data.key)],
    )


def test_a_message_and_its_file_s_entry_are_one_step(inbox: Inbox, log: Published) -> None:
    inbox.take(told())
    (message,) = log.messages
    assert message.author.phone == "393331111111"
    assert message.media is not None
    assert message.media.sha256 == "000102"
    assert log.occurred == [SENT_AT]
    assert log.also == [[("ENTER", MESSAGE["key"])]]


def test_what_is_not_followed_is_not_told(inbox: Inbox, log: Published) -> None:
    inbox.take(told(chat_id="393331111111@c.us", is_group=False))
    inbox.take(told(chat_id="status@broadcast", is_group=False))
    assert log.messages == []


def test_the_watermark_moves_with_a_message_only_while_nothing_can_be_missing_before_it(
    inbox: Inbox, log: Published, watermarks: Watermarks
) -> None:
    chat = MESSAGE["chat_id"]
    inbox.take(told(key="first"))
    assert watermarks.of(chat) is None
    inbox.is_contiguous = True
    inbox.take(told(key="second"))
    assert watermarks.of(chat) == Mark("second", int(SENT_AT.timestamp()))
    assert [command[0] for command in log.also[1]] == ["ENTER", "HSET"]
    inbox.take(told(key="older", t=MESSAGE["t"] - 60))
    assert watermarks.of(chat) == Mark("second", int(SENT_AT.timestamp()))


def test_a_reaction_moves_no_watermark(inbox: Inbox, watermarks: Watermarks) -> None:
    inbox.is_contiguous = True
    inbox.take(told(key="reaction_x", type="reaction", target_key=MESSAGE["key"], media=None))
    assert watermarks.of(MESSAGE["chat_id"]) is None


def test_a_time_to_come_is_no_reason_to_take_everything_until_then_for_told(
    inbox: Inbox, watermarks: Watermarks
) -> None:
    inbox.is_contiguous = True
    inbox.take(told(t=4_000_000_000))
    mark = watermarks.of(MESSAGE["chat_id"])
    assert mark is not None
    assert mark.t <= datetime.now(UTC).timestamp()


def test_view_once_is_told_and_its_file_skipped(inbox: Inbox, log: Published) -> None:
    inbox.take(told(view_once=True))
    (message,) = log.messages
    assert message.view_once
    assert message.media is not None
    assert message.media.status == "skipped"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": "chat"}, {"type": "text", "raw_type": "chat"}),
        ({"type": "ptt"}, {"type": "voice"}),
        ({"type": "something_new", "media": None}, {"type": "something_new", "raw_type": "something_new"}),
        (
            {"type": "location", "location": {"latitude": 1.5, "longitude": -2, "name": "Pier"}},
            {"location": {"latitude": 1.5, "longitude": -2.0, "name": "Pier"}},
        ),
        (
            {"type": "vcard", "contacts": [{"name": "A", "vcard": "BEGIN:VCARD\nTEL;type=CELL:+39 1\nitem1.TEL:2\n"}]},
            {"type": "contact", "contacts": [{"name": "A", "phones": ["+39 1", "2"]}]},
        ),
        (
            {"type": "poll_creation", "poll": {"question": "?", "options": ["a", "b"], "selectable": 1}},
            {"type": "poll", "poll": {"question": "?", "options": ["a", "b"], "selectable": 1}},
        ),
        (
            {"type": "gp2", "subtype": "add", "members": [{"lid": "1@lid", "phone": None}]},
            {"type": "join", "members": {"change": "add", "people": [{"lid": "1@lid", "phone": None}]}},
        ),
        ({"type": "gp2", "subtype": "remove"}, {"type": "leave", "members": {"change": "remove", "people": []}}),
        ({"type": "gp2", "subtype": "subject"}, {"type": "gp2", "members": {"change": "subject", "people": []}}),
        ({"location": {"latitude": "x"}}, {"location": None}),
        ({"contacts": "odd", "mentions": 3, "poll": []}, {"contacts": [], "mentions": [], "poll": None}),
    ],
)
def test_types(inbox: Inbox, log: Published, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    inbox.take(told(**changes))
    assert log.messages[0].model_dump(include=set(expected)) == expected


def test_milliseconds_are_recognised(inbox: Inbox, log: Published) -> None:
    inbox.take(told(t=int(SENT_AT.timestamp()) * 1000 + 7))
    assert log.messages[0].sent_at == SENT_AT


@pytest.mark.parametrize("absurd", [None, 0, -5, 2**53, 10**300, "soon", 1.5])
def test_an_absurd_time_is_now(inbox: Inbox, log: Published, absurd: Any) -> None:
    inbox.take(told(t=absurd))
    assert abs(log.messages[0].sent_at - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("field", ["mimetype", "size", "filehash", "filename", "width", "height"])
def test_an_odd_field_of_the_media_is_left_out(inbox: Inbox, log: Published, field: str) -> None:
    inbox.take(told(media={**MESSAGE["media"], field: [1.5]}))
    media = log.messages[0].media
    assert media is not None
    assert getattr(media, {"filehash": "sha256"}.get(field, field)) is None
    assert log.messages[0].text == "hello"


def test_a_fractional_width_and_media_that_is_none(inbox: Inbox, log: Published) -> None:
    inbox.take(told(media={**MESSAGE["media"], "width": 1080.5}))
    inbox.take(told(key="other", media="odd"))
    first, second = log.messages
    assert first.media is not None
    assert (first.media.width, first.media.height) == (None, 5)
    assert second.media is None


def test_what_is_known_is_told(inbox: Inbox, log: Published) -> None:
    known = ("key", "chat_id", "is_group", "from_me", "type")
    bare = {"kind": "message", "message": {name: MESSAGE[name] for name in known}}
    event = page_event.validate_json(json.dumps(bare))
    assert isinstance(event, MessageSeen)
    inbox.take(event.message)
    assert log.messages[0].key == MESSAGE["key"]
    assert log.messages[0].author.phone is None
