"""Every kind of message as an event, and what is done to messages, live and found afterwards."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.service import AROUND, Service
from tests.harness.told import scan
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME

VCARD = "BEGIN:VCARD\nVERSION:3.0\nFN:Carla\nTEL;type=CELL;waid=393334444444:+39 333 4444444\nEND:VCARD"


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(keepalive_s=2, author_lid=True) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def service(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("kinds"), whatsapp.url, without=AROUND, FOLLOW_CHATS="all", **QUICK
    ) as service:
        scan(service, whatsapp)
        yield service


def told(service: Service, key: str) -> dict[str, Any]:
    return service.wait_event("message", where=lambda data: data["key"] == key).data


def told_of(service: Service, target: str, kind: str, after: str = "-") -> dict[str, Any]:
    fits = lambda data: (data["target_key"], data["type"]) == (target, kind)  # noqa: E731
    return service.wait_event("message", after=after, where=fits).data


def test_the_author_has_lid_and_phone(service: Service, whatsapp: WhatsAppWeb) -> None:
    data = told(service, whatsapp.deliver_text("hello"))
    assert data["author"] == {"lid": ANNA.lid, "phone": ANNA.phone.split("@")[0]}
    assert (data["type"], data["raw_type"], data["source"]) == ("text", "chat", "live")


def test_what_a_text_may_have(service: Service, whatsapp: WhatsAppWeb) -> None:
    first = whatsapp.deliver_text("first")
    attributes = {"mentionedJidList": [BRUNO.phone]}
    answer = whatsapp.deliver_text("second", quote=first, forwarded=True, ephemeral_s=86400, attributes=attributes)
    data = told(service, answer)
    assert data["quoted_key"] == first
    assert (data["forwarded"], data["ephemeral"]) == (True, True)
    assert [person["phone"] for person in data["mentions"]] == [BRUNO.phone.split("@")[0]]


@pytest.mark.parametrize(
    ("raw_type", "expected"),
    [("video", "video"), ("audio", "audio"), ("ptt", "voice"), ("document", "document"), ("sticker", "sticker")],
)
def test_files(service: Service, whatsapp: WhatsAppWeb, raw_type: str, expected: str) -> None:
    data = told(service, whatsapp.deliver_photo(b"some bytes", "x/y", type=raw_type, filename="a.bin"))
    assert (data["type"], data["raw_type"]) == (expected, raw_type)
    assert (data["media"]["status"], data["media"]["size"], data["media"]["filename"]) == ("pending", 10, "a.bin")


def test_a_view_once_photo_is_told_and_never_fetched(service: Service, whatsapp: WhatsAppWeb) -> None:
    data = told(service, whatsapp.deliver_photo(b"secret", attributes={"isViewOnce": True}))
    assert (data["view_once"], data["media"]["status"]) == (True, "skipped")


def test_an_album_is_its_photos(service: Service, whatsapp: WhatsAppWeb) -> None:
    album, *photos = whatsapp.deliver_album([b"one", b"two"])
    assert [told(service, key)["album_key"] for key in photos] == [album, album]
    assert album not in {event.data["key"] for event in service.events("message")}


def test_places_contacts_polls(service: Service, whatsapp: WhatsAppWeb) -> None:
    place = told(service, whatsapp.deliver_location(45.5, -9.25, "Pier"))
    assert (place["type"], place["location"]) == (
        "location",
        {"latitude": 45.5, "longitude": -9.25, "name": "Pier"},
    )
    card = told(service, whatsapp.deliver_contact([("Carla", VCARD)]))
    assert (card["type"], card["contacts"]) == ("contact", [{"name": "Carla", "phones": ["+39 333 4444444"]}])
    cards = told(service, whatsapp.deliver_contact([("Carla", VCARD), ("Dario", VCARD)]))
    assert (cards["type"], [one["name"] for one in cards["contacts"]]) == ("contact", ["Carla", "Dario"])
    poll = told(service, whatsapp.deliver_poll("When?", ["today", "never"], selectable=1))
    assert (poll["type"], poll["poll"]) == (
        "poll",
        {"question": "When?", "options": ["today", "never"], "selectable": 1},
    )


def test_an_unknown_kind_is_told_as_itself(service: Service, whatsapp: WhatsAppWeb) -> None:
    data = told(service, whatsapp.deliver_text("?", type="hologram", attributes={"depth": {"odd": [1]}}))
    assert (data["type"], data["raw_type"], data["media"]) == ("hologram", "hologram", None)


def test_joins_and_leaves(service: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.add_person("393335555555@c.us", "100000000000055@lid", "Elena")
    before = service.last_event_id()
    whatsapp.group_change(FAMILY.id, "add", ["393335555555@c.us"], author=ANNA.phone)
    data = service.wait_event("message", after=before, where=lambda data: data["type"] == "join").data
    assert data["members"]["change"] == "add"
    assert [person["phone"] for person in data["members"]["people"]] == ["393335555555"]
    whatsapp.group_change(FAMILY.id, "remove", ["393335555555@c.us"], author=ANNA.phone)
    data = service.wait_event("message", after=before, where=lambda data: data["type"] == "leave").data
    assert data["members"]["change"] == "remove"


def test_statuses_and_newsletters_are_never_told(service: Service, whatsapp: WhatsAppWeb) -> None:
    quiet = [
        whatsapp.deliver_text("status", chat="status@broadcast", author=ANNA.phone),
        whatsapp.deliver_text("news", chat="120363000000000009@newsletter"),
    ]
    told(service, whatsapp.deliver_text("after"))
    assert not set(quiet) & {event.data["key"] for event in service.events("message")}


def test_reactions_edits_and_revocations_live_and_found_afterwards_are_the_same(
    service: Service, whatsapp: WhatsAppWeb
) -> None:
    reacted, edited, revoked, away = (whatsapp.deliver_text(text) for text in ("react", "edit", "revoke", "away"))
    told(service, away)
    whatsapp.react(reacted, "👍", author=BRUNO.phone)
    whatsapp.edit(edited, "edited")
    whatsapp.revoke(revoked)
    reaction = told_of(service, reacted, "reaction")
    assert (reaction["text"], reaction["author"]["phone"]) == ("👍", BRUNO.phone.split("@")[0])
    assert told_of(service, edited, "edit")["text"] == "edited"
    assert told_of(service, revoked, "revoke")["chat_id"] == FAMILY.id

    os.kill(service.pids()["browser-agent"], signal.SIGSTOP)
    before = service.last_event_id()
    whatsapp.react(edited, "❤", author=BRUNO.phone)
    whatsapp.edit(reacted, "edited while away")
    whatsapp.revoke(away)
    # Else it would learn of it in its next life, and when somebody listens.
    wait_until(lambda: whatsapp.state()["undelivered"] == 0, 60, "the page has it all")
    os.kill(service.pids()["browser-agent"], signal.SIGKILL)
    service.wait_event("ready", after=before)
    assert told_of(service, reacted, "edit", before)["text"] == "edited while away"
    assert told_of(service, away, "revoke", before)["source"] == "backfill"
    found = told_of(service, edited, "reaction", before)
    assert (found["text"], found["author"]["phone"], found["source"]) == ("❤", BRUNO.phone.split("@")[0], "backfill")
    assert (found["chat_id"], found["chat_name"], found["is_group"], found["from_me"]) == (
        FAMILY.id,
        FAMILY.subject,
        True,
        False,
    )
    last = whatsapp.deliver_text("done")
    told(service, last)
    service.client.call("backfill", {})
    keys = [event.data["key"] for event in service.events("message")]
    assert len(keys) == len(set(keys)), "none is told twice"


def test_our_own_messages_from_the_phone_are_told_as_ours(service: Service, whatsapp: WhatsAppWeb) -> None:
    data = told(service, whatsapp.deliver_text("from the phone", from_me=True))
    assert data["from_me"]
    assert data["author"]["phone"] == ME.phone.split("@")[0]
