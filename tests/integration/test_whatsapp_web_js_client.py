"""The real whatsapp-web.js, the npm client this service replaces, runs on the stand-in."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest

from tests.harness.whatsapp_web_js import SYNC_MS, JsClient, node_with_packages
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY

PHOTO = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(sync_ms=SYNC_MS) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def client(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JsClient]:
    """The client, linked with the code that it reported."""
    client = JsClient(node_with_packages(), whatsapp.url, tmp_path_factory.mktemp("wwebjs"))
    try:
        whatsapp.scan(client.next("qr"))
        client.next("authenticated")
        client.next("ready")
        yield client
    finally:
        client.close()


def test_it_is_linked_and_connected(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    assert client.call("getState") == "CONNECTED"
    assert whatsapp.connections()["logged_in"] == 1
    assert client.call("getChats") == [[ANNA.phone, ANNA.name, False], [FAMILY.id, FAMILY.subject, True]]


def test_it_gets_messages_and_photos(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    text = whatsapp.deliver_text("Hello", author=BRUNO.phone)
    assert client.next("message") == {
        "key": text, "chat": FAMILY.id, "author": BRUNO.phone, "text": "Hello", "media": None,
    }  # fmt: skip
    photo = whatsapp.deliver_photo(PHOTO, caption="Us")
    message = client.next("message")
    assert (message["key"], message["text"]) == (photo, "Us")
    assert base64.b64decode(message["media"]) == PHOTO


def test_it_sends_messages(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    key = client.call("sendMessage", FAMILY.id, "Hello from the client")

    # The client answers when the message is in its chat; it goes out after that.
    deadline = time.monotonic() + 20
    while not whatsapp.outbox() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [(sent["id"], sent["body"]) for sent in whatsapp.outbox()] == [(key, "Hello from the client")]


def test_reset_state_cures_a_half_open_link(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open()
    key = whatsapp.deliver_text("Are you there?")
    assert client.call("getState") == "CONNECTED"

    client.said.clear()
    client.call("resetState")
    assert [client.next("change_state") for _ in range(3)] == ["OPENING", "PAIRING", "CONNECTED"]
    assert client.next("message")["key"] == key
