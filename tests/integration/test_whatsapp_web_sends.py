"""Sends from the page of the stand-in: the same id twice, answers that are lost, refusals, uploads, receipts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME
from tests.whatsapp_web.wajs import RECONNECT, USABLE, arrived, heard, load, stored

pytest_plugins = ["tests.whatsapp_web.fixtures"]

ID = "3EB0C0FFEE0000000001"
IN_GROUP = f"true_{FAMILY.id}_{ID}_{ME.lid}"
IN_PRIVATE = f"true_{ANNA.phone}_{ID}"
ACK = "WPP.whatsapp.MsgStore.get('%s')?.ack"
PIXEL = "data:image/png;base64," + base64.b64encode(bytes(range(200))).decode()
IS_PENDING = "Promise.race([%s, new Promise((resolve) => setTimeout(resolve, 300, 'pending'))])"
HEAR_ACKS = """
window.acks = [];
WPP.on('chat.msg_ack_change', ({ack, chat, sender, ids}) =>
  acks.push([ack, String(chat), sender ? String(sender) : null, ids.map((id) => id.id)])); 1
"""


def text(chat: str, body: str, **options: object) -> str:
    """The sending of a text, as JavaScript; its value is [id, ack, result]."""
    send = f"WPP.chat.sendTextMessage('{chat}', {json.dumps(body)}, {json.dumps(options)})"
    return f"{send}.then((sent) => [sent.id, sent.ack, sent.sendMsgResult?.messageSendResult])"


def file(chat: str, **options: object) -> str:
    """The sending of a photo, as JavaScript; its value is [id, ack, result]."""
    send = f"WPP.chat.sendFileMessage('{chat}', '{PIXEL}', {json.dumps({'type': 'image', **options})})"
    return f"{send}.then((sent) => [sent.id, sent.ack, sent.sendMsgResult?.messageSendResult])"


def reload(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)
    page.until(USABLE)


def kept(page: Page) -> None:
    """Wait until all that the page knows is in IndexedDB."""
    page.evaluate("require('StandInKeeping').flush()")


def kept_unsent(page: Page) -> None:
    """Wait until a send is in IndexedDB, so that the page's next life knows of it."""
    page.until("WPP.indexdb.getMessagesFromRowId({minRowId: 0}).then((all) => all.length > 0)")


# --- the id that the caller chose


@pytest.mark.parametrize(("chat", "key"), [(FAMILY.id, IN_GROUP), (ANNA.phone, IN_PRIVATE)])
def test_an_id_sent_twice_is_one_message(linked_page: Page, whatsapp: WhatsAppWeb, chat: str, key: str) -> None:
    for _ in range(2):
        assert linked_page.evaluate(text(chat, "Once", messageId=key)) == [key, 1, "OK"]

    assert [(m["id"], m["chat"], m["text"], m["times"]) for m in whatsapp.outbox()] == [(key, chat, "Once", 2)]
    assert stored(linked_page) == [key]
    kept(linked_page)
    reload(linked_page, whatsapp)
    assert linked_page.evaluate(text(chat, "Once", messageId=key)) == [key, 1, "OK"]
    assert [m["times"] for m in whatsapp.outbox()] == [3]
    assert stored(linked_page) == [key]


def test_an_id_is_one_message_in_a_page_that_has_not_loaded_it(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(text(FAMILY.id, "Once", messageId=IN_GROUP))
    whatsapp.receipt(ID, ack=3)
    arrived(linked_page, whatsapp.deliver_text("Later"))
    linked_page.until((ACK % IN_GROUP) + " === 3")
    kept(linked_page)
    whatsapp.set_options(loaded_per_chat=1)
    reload(linked_page, whatsapp)

    assert linked_page.evaluate(f"{ACK % IN_GROUP} ?? null") is None
    assert linked_page.evaluate(text(FAMILY.id, "Once", messageId=IN_GROUP)) == [IN_GROUP, 3, "OK"]


def test_what_a_text_says_reaches_the_outbox(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    asked = whatsapp.deliver_text("Who?")
    arrived(linked_page, asked)
    options = {"messageId": IN_GROUP, "quotedMsg": asked, "mentionedList": [BRUNO.phone], "waitForAck": True}
    linked_page.evaluate(text(FAMILY.id, "Me, @393332222222", **options))

    (sent,) = whatsapp.outbox()
    assert sent["quoted"] == asked.split("_")[2]
    assert sent["mentionedJidList"] == [BRUNO.phone]
    assert (sent["text"], sent["media"], sent["reaction"]) == ("Me, @393332222222", None, None)
    reload(linked_page, whatsapp)
    mentioned = f"WPP.whatsapp.MsgStore.get('{IN_GROUP}').mentionedJidList.map(String)"
    assert linked_page.evaluate(mentioned) == [BRUNO.phone]


def test_a_file_keeps_the_id_and_the_caption(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    sent = linked_page.evaluate(file(FAMILY.id, messageId=IN_GROUP, caption="Us", waitForAck=True))

    assert sent == [IN_GROUP, 1, "OK"]
    (message,) = whatsapp.outbox()
    assert (message["id"], message["type"], message["text"]) == (IN_GROUP, "image", "Us")
    assert whatsapp.media_bytes(message["media"]["directPath"]) == bytes(range(200))
    assert message["media"]["filehash"] == message["filehash"]
    # What the page and the host know of it is not lost with the page.
    reload(linked_page, whatsapp)
    size = f"WPP.chat.downloadMedia('{IN_GROUP}').then((blob) => blob.size)"
    assert linked_page.evaluate(size) == 200


def test_a_file_that_is_in_the_chat_already_is_sent_but_never_settles(
    linked_page: Page, whatsapp: WhatsAppWeb
) -> None:
    """wa-js waits for the message to be added, and it is there: nobody may send a file again without looking."""
    linked_page.evaluate(file(FAMILY.id, messageId=IN_GROUP))
    linked_page.evaluate(f"window.again = {file(FAMILY.id, messageId=IN_GROUP)}; 1")

    wait_until(lambda: whatsapp.outbox()[0]["times"] == 2, 20, "it is sent again")
    assert [message["times"] for message in whatsapp.outbox()] == [2]
    assert linked_page.evaluate(IS_PENDING % "again") == "pending"


# --- what goes wrong


def test_held_sends_are_taken_and_not_answered(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    linked_page.evaluate(f"window.sending = {text(FAMILY.id, 'Hello', messageId=IN_GROUP)}; 1")
    assert linked_page.evaluate(IS_PENDING % "sending") == "pending"
    assert linked_page.evaluate(ACK % IN_GROUP) == 0
    wait_until(whatsapp.outbox, 20, "it is taken")
    assert [(m["id"], m["times"], m["answered"]) for m in whatsapp.outbox()] == [(IN_GROUP, 1, False)]

    whatsapp.answer_sends()
    assert linked_page.evaluate("sending") == [IN_GROUP, 1, "OK"]


def test_what_was_not_answered_is_sent_again_by_the_next_life(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    linked_page.evaluate(f"{text(FAMILY.id, 'Hello', messageId=IN_GROUP)}; 1")
    kept_unsent(linked_page)
    reload(linked_page, whatsapp)
    assert linked_page.evaluate(ACK % IN_GROUP) == 0

    whatsapp.answer_sends()
    linked_page.until((ACK % IN_GROUP) + " === 1")
    assert [m["times"] for m in whatsapp.outbox()] == [2]


def test_lost_sends_never_reach_the_server(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.lose_sends()
    linked_page.evaluate(f"window.sending = {text(FAMILY.id, 'Hello', messageId=IN_GROUP)}; 1")
    assert linked_page.evaluate(IS_PENDING % "sending") == "pending"
    wait_until(lambda: whatsapp.state()["sends"]["lost"] == 1, 20, "it is lost")
    assert whatsapp.outbox() == []

    whatsapp.answer_sends()
    assert linked_page.evaluate(IS_PENDING % "sending") == "pending"
    linked_page.evaluate(RECONNECT)
    assert linked_page.evaluate("sending") == [IN_GROUP, 1, "OK"]


@pytest.mark.parametrize("code", [429, 463, 479])
def test_refused_sends_fail(linked_page: Page, whatsapp: WhatsAppWeb, code: int) -> None:
    whatsapp.refuse_sends(code, times=1)
    send = text(FAMILY.id, "Hello", messageId=IN_GROUP)
    assert linked_page.evaluate(send) == [IN_GROUP, -1, "ERROR_UNKNOWN"]
    assert (whatsapp.outbox(), whatsapp.state()["sends"]["refused"]) == ([], [[ID, code]])

    kept(linked_page)
    reload(linked_page, whatsapp)
    assert linked_page.evaluate(ACK % IN_GROUP) == -1
    assert whatsapp.outbox() == []
    assert linked_page.evaluate(send) == [IN_GROUP, 1, "OK"]
    assert [m["times"] for m in whatsapp.outbox()] == [2]


def test_uploads_can_fail(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.fail_uploads(500, times=1)
    assert linked_page.evaluate(file(FAMILY.id, messageId=IN_GROUP)) == [IN_GROUP, -1, "ERROR_UPLOAD"]
    assert whatsapp.outbox() == []

    other = f"true_{FAMILY.id}_3EB0C0FFEE0000000002_{ME.lid}"
    assert linked_page.evaluate(file(FAMILY.id, messageId=other)) == [other, 1, "OK"]


# --- receipts


def acks(page: Page) -> list[list[Any]]:
    heard: list[list[Any]] = page.evaluate("acks")
    return heard


def test_receipts_in_a_private_chat(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR_ACKS)
    linked_page.evaluate(text(ANNA.phone, "Hello", messageId=IN_PRIVATE))
    for ack in (2, 3):
        whatsapp.receipt(ID, ack)
        linked_page.until(f"{ACK % IN_PRIVATE} === {ack}")
    whatsapp.receipt(IN_PRIVATE, 2)
    linked_page.until("acks.length === 4")

    assert linked_page.evaluate(ACK % IN_PRIVATE) == 3
    assert acks(linked_page) == [[ack, ANNA.phone, None, [ID]] for ack in (1, 2, 3, 2)]
    kept(linked_page)
    reload(linked_page, whatsapp)
    assert linked_page.evaluate(ACK % IN_PRIVATE) == 3


def test_receipts_in_a_group_come_from_each_member(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR_ACKS)
    linked_page.evaluate(text(FAMILY.id, "Hello", messageId=IN_GROUP))
    whatsapp.receipt(ID, 3, by=ANNA.phone)
    linked_page.until("acks.length === 2")
    assert linked_page.evaluate(ACK % IN_GROUP) == 1
    whatsapp.receipt(ID, 2, by=BRUNO.phone)
    linked_page.until((ACK % IN_GROUP) + " === 2")
    whatsapp.receipt(ID, 4)
    linked_page.until((ACK % IN_GROUP) + " === 4 && acks.length >= 5")

    assert [heard[:3] for heard in acks(linked_page)] == [
        [1, FAMILY.id, None],
        [3, FAMILY.id, ANNA.phone],
        [2, FAMILY.id, BRUNO.phone],
        [4, FAMILY.id, ANNA.phone],
        [4, FAMILY.id, BRUNO.phone],
    ]


def test_receipts_wait_for_a_page_that_is_away(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR_ACKS)
    linked_page.evaluate(text(ANNA.phone, "Hello", messageId=IN_PRIVATE))
    whatsapp.drop(refuse_s=0.3)
    whatsapp.receipt(ID, 2)
    whatsapp.receipt(ID, 3)

    linked_page.until((ACK % IN_PRIVATE) + " === 3 && acks.length >= 3")
    assert [heard[0] for heard in acks(linked_page)] == [1, 2, 3]


def test_receipts_of_the_time_between_two_lives_are_in_the_model_and_no_event(
    linked_page: Page, whatsapp: WhatsAppWeb
) -> None:
    """wa-js listens once the page is in MAIN: what the server had kept came before that."""
    linked_page.evaluate(text(ANNA.phone, "Hello", messageId=IN_PRIVATE))
    linked_page.goto("about:blank")
    whatsapp.receipt(ID, 3)
    whatsapp.set_options(boot_ms=2000)
    linked_page.forget()
    reload(linked_page, whatsapp)

    assert linked_page.evaluate(ACK % IN_PRIVATE) == 3
    assert heard(linked_page, "chat.msg_ack_change") == []
