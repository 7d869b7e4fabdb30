"""Earlier messages on the stand-in: those not loaded, those this device never had, those in IndexedDB alone."""

from __future__ import annotations

import json

import pytest

from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, FAMILY
from tests.whatsapp_web.wajs import USABLE, acknowledged, arrived, load, news, stored

pytest_plugins = ["tests.whatsapp_web.fixtures"]

EARLIER = (
    "require('WAWebChatLoadMessages').loadEarlierMsgs({chat: WPP.whatsapp.ChatStore.get('%s')})"
    ".then((all) => all.map((m) => m.id.toString()))"
)
IN_CHAT = "WPP.whatsapp.ChatStore.get('%s').msgs.map((m) => m.id.toString())"
NO_MORE = f"WPP.whatsapp.ChatStore.get('{FAMILY.id}').msgs.msgLoadState.noEarlierMsgs"


def got(page: Page, chat: str, **options: object) -> list[str]:
    """The keys that wa-js' getMessages answers."""
    ask = f"WPP.chat.getMessages('{chat}', {json.dumps(options)}).then((all) => all.map((m) => m.id.toString()))"
    keys: list[str] = page.evaluate(ask)
    return keys


@pytest.fixture
def twelve(linked_page: Page, whatsapp: WhatsAppWeb) -> list[str]:
    """Ten messages in the group and two in Anna's chat, after a reload that loaded three of each."""
    keys = whatsapp.deliver_many(10) + whatsapp.deliver_many(2, chats=[ANNA.phone])
    arrived(linked_page, keys[-1])
    acknowledged(linked_page, whatsapp)
    whatsapp.set_options(loaded_per_chat=3)
    linked_page.forget()
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    return keys


def test_only_the_latest_are_loaded_and_the_others_are_found(
    linked_page: Page, whatsapp: WhatsAppWeb, twelve: list[str]
) -> None:
    group = twelve[:10]
    assert sorted(stored(linked_page)) == sorted(group[7:] + twelve[10:])
    assert got(linked_page, FAMILY.id, count=5) == group[5:]
    assert got(linked_page, FAMILY.id, count=-1) == group
    assert got(linked_page, FAMILY.id, count=3, direction="before", id=group[4]) == group[1:4]
    assert got(linked_page, FAMILY.id, count=3, direction="after", id=group[1]) == group[2:5]
    assert got(linked_page, FAMILY.id, count=20, direction="after", id=group[1]) == group[2:]
    assert got(linked_page, FAMILY.id, count=3, direction="after", id=f"false_{FAMILY.id}_UNKNOWN_{ANNA.phone}") == []
    assert sorted(stored(linked_page)) == sorted(group[7:] + twelve[10:])
    assert news(linked_page) == []


def test_a_message_that_is_not_loaded_is_found_by_its_key(
    linked_page: Page, whatsapp: WhatsAppWeb, twelve: list[str]
) -> None:
    body = f"WPP.chat.getMessageById('{twelve[2]}').then((m) => m.body, (error) => error.code)"
    assert linked_page.evaluate(body) == "Message 2"
    assert linked_page.evaluate(IN_CHAT % FAMILY.id) == twelve[7:10]
    unknown = f"WPP.chat.getMessageById('false_{ANNA.phone}_UNKNOWN').catch((error) => error.code)"
    assert linked_page.evaluate(unknown) == "msg_not_found"
    quoting = f"WPP.chat.sendTextMessage('{FAMILY.id}', 'That one', {{quotedMsg: '{twelve[1]}'}}).then((s) => s.ack)"
    assert linked_page.evaluate(quoting) == 1
    assert whatsapp.outbox()[0]["quotedStanzaID"] == twelve[1].split("_")[2]


def test_earlier_messages_are_loaded_without_being_news(
    linked_page: Page, whatsapp: WhatsAppWeb, twelve: list[str]
) -> None:
    assert linked_page.evaluate(EARLIER % FAMILY.id) == twelve[:7]
    assert linked_page.evaluate(IN_CHAT % FAMILY.id) == twelve[:10]
    assert linked_page.evaluate(NO_MORE) is False
    assert linked_page.evaluate(EARLIER % FAMILY.id) == []
    assert linked_page.evaluate(NO_MORE) is True
    assert news(linked_page) == []


def test_what_this_device_never_had_comes_when_it_is_asked_for(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    never = whatsapp.deliver_many(60, to_device=False)
    had = whatsapp.deliver_text("Here")
    arrived(linked_page, had)
    assert got(linked_page, FAMILY.id, count=-1) == [had]

    assert linked_page.evaluate(EARLIER % FAMILY.id) == never[10:]
    assert linked_page.evaluate(NO_MORE) is False
    assert linked_page.evaluate(EARLIER % FAMILY.id) == never[:10]
    assert linked_page.evaluate(NO_MORE) is True
    assert linked_page.evaluate(IN_CHAT % FAMILY.id) == [*never, had]
    assert news(linked_page) == [had]

    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    assert got(linked_page, FAMILY.id, count=-1) == [*never, had]
    assert whatsapp.model()[0]["to_device"] is False


def test_earlier_messages_need_a_living_link(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    (never,) = whatsapp.deliver_many(1, to_device=False)
    whatsapp.deliver_text("Here")
    whatsapp.half_open()
    linked_page.evaluate(f"window.earlier = {EARLIER % FAMILY.id}; 1")
    pending = "Promise.race([window.earlier, new Promise((resolve) => setTimeout(resolve, 300, 'pending'))])"
    assert linked_page.evaluate(pending) == "pending"

    whatsapp.restore()
    assert linked_page.evaluate("window.earlier") == [never]


def test_the_phone_can_be_asked_for_history(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    (never,) = whatsapp.deliver_many(1, to_device=False)
    arrived(linked_page, whatsapp.deliver_text("Here"))
    chat = f"WPP.whatsapp.ChatStore.get('{FAMILY.id}')"
    ask = f"require('WAWebSendNonMessageDataRequest').sendPeerDataOperationRequest(3, {{chatId: {chat}.id}})"
    assert linked_page.evaluate(f"{chat}.endOfHistoryTransferType") == 0

    linked_page.evaluate(ask)
    arrived(linked_page, never)
    assert linked_page.evaluate(f"{chat}.endOfHistoryTransferType") == 1


def test_rows_can_be_read_in_the_order_they_were_kept(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    keys = whatsapp.deliver_many(3)
    arrived(linked_page, keys[-1])
    acknowledged(linked_page, whatsapp)

    rows = "WPP.indexdb.getMessagesFromRowId({minRowId: %d}).then((all) => all.map((row) => [row.id, row.rowId]))"
    found = linked_page.evaluate(rows % 0)
    assert [key for key, _ in found] == keys
    assert [key for key, _ in linked_page.evaluate(rows % found[1][1])] == keys[2:]


def test_a_message_sent_again_is_no_news_though_it_is_not_loaded(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    """The page dies between keeping and acknowledging; the next one has not loaded what it kept."""
    key = whatsapp.deliver_text("Kept")
    arrived(linked_page, key)
    whatsapp.half_open()
    # Kept, though the acknowledgement does not get through.
    linked_page.until("WPP.indexdb.getMessagesFromRowId({minRowId: 0}).then((all) => all.length >= 1)")
    whatsapp.set_options(loaded_per_chat=1, boot_ms=5000)
    later = whatsapp.deliver_text("Later")
    linked_page.forget()
    load(linked_page, whatsapp)
    whatsapp.restore()
    linked_page.until(USABLE)

    arrived(linked_page, later)
    acknowledged(linked_page, whatsapp)
    assert news(linked_page) == [later]
    assert got(linked_page, FAMILY.id, count=-1) == [key, later]
