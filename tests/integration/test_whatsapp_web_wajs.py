"""The real wa-js on the stand-in: codes, linking, chats, messages in and out."""

from __future__ import annotations

import base64
import json
import time

import pytest

from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME
from tests.whatsapp_web.wajs import USABLE, arrived, heard, link, load, news, stored

pytest_plugins = ["tests.whatsapp_web.fixtures"]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DOM_CODE = "document.querySelector('[data-ref]')?.dataset.ref"


def js(value: object) -> str:
    """A value as JavaScript source."""
    return json.dumps(value)


# --- chats and questions


def test_chats_groups_and_participants(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.add_group("120363000000000002@g.us", "Football", [ME.phone, ANNA.phone])
    linked_page.until("WPP.whatsapp.ChatStore.length === 3")

    chats = "WPP.chat.list(%s).then((chats) => chats.map((chat) => [String(chat.id), chat.name]))"
    groups = [[FAMILY.id, FAMILY.subject], ["120363000000000002@g.us", "Football"]]
    assert linked_page.evaluate(chats % "{onlyUsers: true}") == [[ANNA.phone, ANNA.name]]
    assert linked_page.evaluate(chats % "{onlyGroups: true}") == groups
    members = f"WPP.group.getParticipants('{FAMILY.id}').then((all) => all.map((one) => String(one.id)))"
    assert linked_page.evaluate(members) == list(FAMILY.members)


def test_queries_are_answered_by_the_server(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.add_person("393334444444@c.us", "100000000000044@lid", "Dora")
    linked_page.forget()

    groups = linked_page.evaluate("WPP.group.getAllGroups().then((all) => all.map((g) => String(g.id)))")
    exists = "WPP.whatsapp.functions.queryWidExists(WPP.util.createWid('%s')).then((r) => r && String(r.wid))"
    assert groups == [FAMILY.id]
    assert linked_page.evaluate(exists % "393334444444@c.us") == "393334444444@c.us"
    assert linked_page.evaluate(exists % "393339999999@c.us") is None
    assert sum('"query"' in payload for _, payload in linked_page.frames.sent) == 3
    assert sum('"result"' in payload for _, payload in linked_page.frames.received) == 3


# --- messages in


def test_a_text_reaches_wa_js_and_is_acknowledged(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    key = whatsapp.deliver_text("Hello, group", author=BRUNO.phone)

    arrived(linked_page, key)
    assert heard(linked_page, "chat.new_message") == [
        {"key": key, "chat": FAMILY.id, "author": BRUNO.phone, "type": "chat", "text": "Hello, group",
         "caption": None, "isGroup": True}
    ]  # fmt: skip
    (message,) = whatsapp.model()
    assert (message["key"], message["text"], len(message["sent_at"])) == (key, "Hello, group", 1)
    while not whatsapp.model()[0]["acked"]:
        linked_page.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")


def test_answers_forwards_and_messages_that_vanish(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    first = whatsapp.deliver_text("Who comes?", author=BRUNO.phone)
    second = whatsapp.deliver_text("I do", quote=first, forwarded=True, ephemeral_s=86400)

    arrived(linked_page, second)
    facts = linked_page.evaluate(
        f"(() => {{ const m = WPP.whatsapp.MsgStore.get('{second}');"
        " return [String(m.quotedMsgId), m.isForwarded, m.ephemeralDuration]; })()"
    )
    assert facts == [first, True, 86400]


@pytest.mark.parametrize("known", [True, False])
def test_authors_by_lid_with_and_without_a_number(page: Page, whatsapp: WhatsAppWeb, known: bool) -> None:
    whatsapp.set_options(author_lid=True, lid_mapping=known)
    load(page, whatsapp)
    link(page, whatsapp)
    key = whatsapp.deliver_text("Who am I?", author=BRUNO.phone)

    assert key.endswith(BRUNO.lid)
    arrived(page, key)
    entry = page.evaluate(f"WPP.contact.getPnLidEntry('{BRUNO.lid}')")
    assert entry.get("phoneNumber", {}).get("_serialized") == (BRUNO.phone if known else None)


def test_minified_keys(bare_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(minified_keys=True)
    bare_page.goto(whatsapp.url)
    whatsapp.scan()
    bare_page.until("require('WAWebStreamModel').Stream.mode === 'MAIN'")
    key = whatsapp.deliver_text("Hello")

    last = "require('WAWebMsgCollection').MsgCollection.last()"
    assert bare_page.until(f"{last}?.id.$1") == key
    assert bare_page.evaluate(f"{last}.id._serialized") is None
    assert bare_page.complaints == []


def test_messages_during_boot_are_in_the_store_but_no_news(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(messages_during_boot=3)
    linked_page.forget()
    load(linked_page, whatsapp)
    linked_page.until(USABLE)

    assert len(stored(linked_page)) == len(whatsapp.model()) == 3
    assert news(linked_page) == []
    latest = f"WPP.chat.getMessages('{FAMILY.id}', {{count: 2}}).then((all) => all.map((m) => m.body))"
    assert linked_page.evaluate(latest) == ["During boot 1", "During boot 2"]


def test_a_burst_arrives_once_in_order_and_fast(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    keys = whatsapp.deliver_many(1000, chats=[FAMILY.id, ANNA.phone])

    linked_page.until("WPP.whatsapp.MsgStore.length === 1000", 60)
    took_s = time.time() - whatsapp.model()[0]["sent_at"][0]
    assert stored(linked_page) == keys
    wait_until(lambda: len(news(linked_page)) >= len(keys), 20, "all are told")
    assert news(linked_page) == keys
    assert took_s < 20


# --- messages out


def test_texts_are_sent_and_receipts_come_back(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    send = "WPP.chat.sendTextMessage('%s', '%s', {createChat: true})"
    sent = linked_page.evaluate(send % (FAMILY.id, "Hi, group"))
    assert (sent["ack"], sent["sendMsgResult"]["messageSendResult"]) == (1, "OK")
    assert linked_page.evaluate(send % (BRUNO.phone, "First contact"))["ack"] == 1

    outbox = whatsapp.outbox()
    assert [(m["to"], m["body"]) for m in outbox] == [(FAMILY.id, "Hi, group"), (BRUNO.phone, "First contact")]
    whatsapp.receipt(outbox[1]["id"].split("_")[2], ack=3)
    linked_page.until(f"WPP.whatsapp.MsgStore.get('{outbox[1]['id']}').ack === 3")
    wait_until(lambda: heard(linked_page, "chat.msg_ack_change")[-1] == 3, 20, "wa-js tells of it")


@pytest.mark.parametrize(("kind", "mimetype"), [("image", "image/png"), ("document", "application/pdf")])
def test_files_are_sent(linked_page: Page, whatsapp: WhatsAppWeb, kind: str, mimetype: str) -> None:
    content = f"data:{mimetype};base64,{base64.b64encode(PNG).decode()}"
    options = js({"type": kind, "caption": "Look", "filename": "a.file"})
    sent = linked_page.evaluate(f"WPP.chat.sendFileMessage('{FAMILY.id}', {js(content)}, {options})")

    assert sent["sendMsgResult"]["messageSendResult"] == "OK"
    (message,) = whatsapp.outbox()
    assert (message["type"], message["caption"], message["mimetype"]) == (kind, "Look", mimetype)
    assert whatsapp.media_bytes(message["directPath"]) == PNG
