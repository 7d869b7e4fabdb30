"""Messages of every kind on the stand-in, as wa-js sees them, and the groups and chats they come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME
from tests.whatsapp_web.wajs import USABLE, acknowledged, arrived, load, news

pytest_plugins = ["tests.whatsapp_web.fixtures"]

CARD = "BEGIN:VCARD\nVERSION:3.0\nFN:Dora\nTEL;waid=393334444444:+39 333 444 4444\nEND:VCARD"
CHANNEL = "120363000000000099@newsletter"
STATUS = "status@broadcast"
DORA = "393334444444@c.us"


def facts(page: Page, key: str, *names: str) -> dict[str, Any]:
    """Attributes of a message in the store; keys and addresses as text."""
    arrived(page, key)
    read = f"""(() => {{
      const plain = (value) => value === undefined ? null : Array.isArray(value) ? value.map(plain)
        : value && value._serialized ? value._serialized : value;
      const message = WPP.whatsapp.MsgStore.get({json.dumps(key)});
      return Object.fromEntries({json.dumps(names)}.map((name) => [name, plain(message[name])]));
    }})()"""
    found: dict[str, Any] = page.evaluate(read)
    return found


@pytest.mark.parametrize("again", [False, True])
def test_places_contacts_and_polls(linked_page: Page, whatsapp: WhatsAppWeb, again: bool) -> None:
    place = whatsapp.deliver_location(45.46, 9.19, "Milan", "Here", author=BRUNO.phone)
    card = whatsapp.deliver_contact([("Dora", CARD)])
    cards = whatsapp.deliver_contact([("Dora", CARD), ("Emil", CARD)], chat=ANNA.phone)
    poll = whatsapp.deliver_poll("Pizza?", ["Yes", "No"], selectable=1)
    arrived(linked_page, poll)
    if again:
        acknowledged(linked_page, whatsapp)
        load(linked_page, whatsapp)
        linked_page.until(USABLE)

    assert facts(linked_page, place, "type", "lat", "lng", "loc", "comment", "author") == {
        "type": "location", "lat": 45.46, "lng": 9.19, "loc": "Milan", "comment": "Here", "author": BRUNO.phone,
    }  # fmt: skip
    assert facts(linked_page, card, "type", "body", "vcardFormattedName") == {
        "type": "vcard", "body": CARD, "vcardFormattedName": "Dora",
    }  # fmt: skip
    both = [{"displayName": name, "vcard": CARD} for name in ("Dora", "Emil")]
    assert facts(linked_page, cards, "type", "vcardList") == {"type": "multi_vcard", "vcardList": both}
    options = [{"name": "Yes", "localId": 0}, {"name": "No", "localId": 1}]
    assert facts(linked_page, poll, "type", "pollName", "pollOptions", "pollSelectableOptionsCount") == {
        "type": "poll_creation", "pollName": "Pizza?", "pollOptions": options, "pollSelectableOptionsCount": 1,
    }  # fmt: skip


def test_an_album_is_a_parent_and_its_photos(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    album, *photos = whatsapp.deliver_album([b"one", b"two"])

    assert facts(linked_page, album, "type", "expectedImageCount") == {"type": "album", "expectedImageCount": 2}
    for key in photos:
        assert facts(linked_page, key, "type", "parentMsgKey") == {"type": "image", "parentMsgKey": album}
    assert news(linked_page) == [album, *photos]


@pytest.mark.parametrize(
    ("kind", "mimetype"),
    [("video", "video/mp4"), ("ptt", "audio/ogg; codecs=opus"), ("audio", "audio/mpeg"), ("sticker", "image/webp"),
     ("document", "application/pdf")],
)  # fmt: skip
def test_files_of_every_kind(linked_page: Page, whatsapp: WhatsAppWeb, kind: str, mimetype: str) -> None:
    key = whatsapp.deliver_photo(
        b"bytes", mimetype, type=kind, filename="a.file", attributes={"isViewOnce": True, "duration": 3}
    )
    assert facts(linked_page, key, "type", "mimetype", "filename", "size", "isViewOnce", "duration") == {
        "type": kind, "mimetype": mimetype, "filename": "a.file", "size": 5, "isViewOnce": True, "duration": 3,
    }  # fmt: skip
    assert linked_page.evaluate(f"WPP.chat.downloadMedia('{key}').then((blob) => blob.text())") == "bytes"


def test_mentions_and_kinds_that_nobody_knows(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    mention = whatsapp.deliver_text("@bot", attributes={"mentionedJidList": [ME.phone, BRUNO.lid]})
    odd = whatsapp.deliver_text("", type="hologram", attributes={"depth": {"z": [1, None]}, "type2": "ö"})

    assert facts(linked_page, mention, "mentionedJidList") == {"mentionedJidList": [ME.phone, BRUNO.lid]}
    assert facts(linked_page, odd, "type", "depth") == {"type": "hologram", "depth": {"z": [1, None]}}
    assert news(linked_page) == [mention, odd]


# --- groups


HEAR_MEMBERS = """
window.changes = [];
WPP.on('group.participant_changed',
  ({action, participants, author}) => changes.push([action, participants, author])); 1
"""


def test_groups_change_and_say_so(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR_MEMBERS)
    added = whatsapp.group_change(FAMILY.id, "add", [DORA], author=ME.phone)
    whatsapp.group_change(FAMILY.id, "promote", [DORA])
    whatsapp.group_change(FAMILY.id, "leave", [BRUNO.phone])
    whatsapp.group_change(FAMILY.id, "invite", [BRUNO.phone])
    whatsapp.group_change(FAMILY.id, "remove", [ANNA.phone], author=DORA)
    renamed = whatsapp.group_change(FAMILY.id, "subject", author=DORA, subject="The family")

    assert facts(linked_page, renamed, "type", "subtype", "author", "body", "isNotification") == {
        "type": "gp2", "subtype": "subject", "author": DORA, "body": "The family", "isNotification": True,
    }  # fmt: skip
    assert facts(linked_page, added, "recipients") == {"recipients": [DORA]}
    assert linked_page.evaluate("changes") == [
        ["add", [DORA], ME.phone],
        ["promote", [DORA], ANNA.phone],
        ["leave", [BRUNO.phone], BRUNO.phone],
        ["join", [BRUNO.phone], BRUNO.phone],
        ["remove", [ANNA.phone], DORA],
    ]
    members = (
        f"WPP.group.getParticipants('{FAMILY.id}')"
        ".then((all) => all.map((one) => [String(one.id), one.isAdmin, one.isSuperAdmin]))"
    )
    expected = [[ME.phone, True, True], [DORA, True, False], [BRUNO.phone, False, False]]
    assert linked_page.evaluate(members) == expected
    assert linked_page.evaluate(f"WPP.chat.get('{FAMILY.id}').name") == "The family"
    assert [group["subject"] for group in whatsapp.state()["groups"]] == ["The family"]


def test_all_groups_with_their_admins(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.add_group("120363000000000002@g.us", "Football", [ANNA.phone, BRUNO.phone], admins=[BRUNO.phone])
    groups = (
        "WPP.group.getAllGroups().then((all) => all.map((g) => "
        "[String(g.id), g.groupMetadata.participants.map((p) => [String(p.id), p.isAdmin])]))"
    )
    family, football = linked_page.evaluate(groups)
    assert family == [FAMILY.id, [[ME.phone, True], [ANNA.phone, False], [BRUNO.phone, False]]]
    assert football == ["120363000000000002@g.us", [[ANNA.phone, False], [BRUNO.phone, True]]]


# --- chats


def test_chats_say_how_they_stand(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_chat(ANNA.phone, archive=True, muteExpiration=-1)
    key = whatsapp.deliver_text("Hello", chat=ANNA.phone, written_at=1_700_000_500)
    arrived(linked_page, key)

    chats = (
        "WPP.chat.list().then((all) => all.map((c) => "
        "[String(c.id), c.t, c.unreadCount, c.archive, c.muteExpiration, Boolean(c.isNewsletter)]))"
    )
    anna, family = sorted(linked_page.evaluate(chats), reverse=True)
    assert anna == [ANNA.phone, 1_700_000_500, 1, True, -1, False]
    assert family == [FAMILY.id, 0, 0, False, 0, False]


def test_channels_and_statuses_are_not_among_the_chats(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    channel = whatsapp.deliver_text("Read all about it", chat=CHANNEL)
    status = whatsapp.deliver_text("At the sea", chat=STATUS, author=BRUNO.phone)

    assert status.endswith(f"_{BRUNO.phone}")
    assert facts(linked_page, channel, "from", "author") == {"from": CHANNEL, "author": None}
    assert facts(linked_page, status, "from", "author", "isStatusV3") == {
        "from": STATUS, "author": BRUNO.phone, "isStatusV3": True,
    }  # fmt: skip
    assert news(linked_page) == [channel, status]
    assert linked_page.evaluate("WPP.chat.list().then((all) => all.length)") == 2
    channels = "WPP.chat.list({onlyNewsletter: true}).then((all) => all.map((c) => [String(c.id), c.isNewsletter]))"
    assert linked_page.evaluate(channels) == [[CHANNEL, True]]
