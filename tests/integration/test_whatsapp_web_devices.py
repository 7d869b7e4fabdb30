"""Linked devices of the stand-in: what they are owed, what they keep, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Browser, Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import FAMILY
from tests.whatsapp_web.wajs import (
    CONNECTED,
    MODE,
    RECONNECT,
    STATE,
    USABLE,
    acknowledged,
    arrived,
    bundle,
    heard,
    link,
    load,
    news,
    stored,
)

pytest_plugins = ["tests.whatsapp_web.fixtures"]

DELETE_KEYS = "new Promise((done) => indexedDB.deleteDatabase('signal-storage').onsuccess = done)"


# --- messages delivered again


def test_a_message_whose_acknowledgement_was_lost_comes_again_and_stays_one(
    linked_page: Page, whatsapp: WhatsAppWeb
) -> None:
    key = whatsapp.deliver_text("Once")
    whatsapp.half_open()
    arrived(linked_page, key)
    linked_page.evaluate(RECONNECT)
    acknowledged(linked_page, whatsapp)

    assert len(whatsapp.model()[0]["sent_at"]) == 2
    assert stored(linked_page) == news(linked_page) == [key]


def test_messages_outlive_a_reload(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    old = whatsapp.deliver_many(2)
    arrived(linked_page, old[-1])
    linked_page.evaluate(f"WPP.chat.sendTextMessage('{FAMILY.id}', 'Mine')")
    acknowledged(linked_page, whatsapp)
    linked_page.goto("about:blank")
    missed = whatsapp.deliver_text("While you were away")
    linked_page.forget()

    # Late enough for wa-js to listen when the offline messages come.
    whatsapp.set_options(boot_ms=5000)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)

    mine = whatsapp.outbox()[0]["id"]
    assert sorted(stored(linked_page)) == sorted([*old, mine, missed])
    assert news(linked_page) == [missed]
    assert len(whatsapp.outbox()) == 1


def test_an_unsent_message_is_sent_by_the_next_life_of_the_page(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open()
    linked_page.evaluate(f"void WPP.chat.sendTextMessage('{FAMILY.id}', 'Can you hear me?')")
    linked_page.until("require('StandInStorage').messages.getAll().then((kept) => kept.length === 1)")
    load(linked_page, whatsapp)
    linked_page.until(USABLE)

    linked_page.until("WPP.whatsapp.MsgStore.last().ack === 1")
    assert [message["body"] for message in whatsapp.outbox()] == ["Can you hear me?"]


def test_a_new_browser_on_the_profile_is_linked_and_gets_what_was_missed(
    whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    with Browser(tmp_path) as browser:
        page = browser.new_page(bundle())
        load(page, whatsapp)
        link(page, whatsapp)
        old = whatsapp.deliver_text("Before")
        arrived(page, old)
        acknowledged(page, whatsapp)
    missed = whatsapp.deliver_text("Between")

    with Browser(tmp_path) as browser:
        page = browser.new_page(bundle())
        load(page, whatsapp)
        page.until(USABLE)
        assert stored(page) == [old, missed]
    assert whatsapp.connections()["devices"] == [1]


def test_a_newly_linked_device_learns_of_the_past_as_history(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.log_out_from_phone()
    linked_page.until("location.search.includes('post_logout=1') && WPP.isFullReady")
    past = whatsapp.deliver_many(3)
    linked_page.forget()
    link(linked_page, whatsapp)

    assert stored(linked_page) == past
    assert news(linked_page) == []
    acknowledged(linked_page, whatsapp)


# --- the end of a device


@pytest.mark.parametrize("reachable", [True, False])
def test_a_device_unlinked_on_the_phone_logs_itself_out(
    linked_page: Page, whatsapp: WhatsAppWeb, reachable: bool
) -> None:
    if not reachable:
        whatsapp.half_open()
    linked_page.forget()
    assert whatsapp.log_out_from_phone() == 1
    if not reachable:
        linked_page.evaluate(f"void {RECONNECT}")

    linked_page.until("location.search.includes('post_logout=1') && WPP.isFullReady")
    assert "logout" in heard(linked_page, "conn.backend_event")
    assert linked_page.evaluate(f"[{STATE}, WPP.conn.isRegistered()]") == ["UNPAIRED", False]
    link(linked_page, whatsapp)


def test_an_unknown_device_is_refused_and_logs_itself_out(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.reset()

    linked_page.until("location.search.includes('post_logout=1') && window.WPP && WPP.conn.isRegistered() === false")


@pytest.mark.parametrize("lose", ["localStorage.clear()", DELETE_KEYS])
def test_half_a_profile_is_not_linked(linked_page: Page, whatsapp: WhatsAppWeb, lose: str) -> None:
    whatsapp.set_options(boot="never")
    linked_page.goto(whatsapp.url)
    linked_page.until("window.WPP && 1")
    linked_page.evaluate(f"Promise.resolve({lose}).then(() => 1)")
    whatsapp.set_options(boot="normal")
    load(linked_page, whatsapp)

    linked_page.until(f"{STATE} === 'UNPAIRED'")
    assert linked_page.evaluate(f"[{MODE}, WPP.conn.isRegistered()]") == ["QR", False]


def test_conflict_lasts_until_the_page_takes_over(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.conflict()

    linked_page.until(f"{STATE} === 'CONFLICT' && {MODE} === 'CONFLICT'")
    linked_page.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
    wait_until(lambda: whatsapp.connections()["open"] == 0, 20, "the link is closed")
    linked_page.evaluate("WPP.whatsapp.Socket.takeover()")
    linked_page.until(f"{CONNECTED} && {MODE} === 'MAIN'")


def test_the_server_can_shut_the_page_out(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.block("TOS_BLOCK")

    linked_page.until(f"{STATE} === 'TOS_BLOCK' && {MODE} === 'TOS_BLOCK'")
    assert linked_page.evaluate("WPP.conn.isRegistered()")


def test_a_second_page_of_the_same_device_takes_the_link_over(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        first, second = browser.new_page(bundle()), browser.new_page(bundle())
        load(first, whatsapp)
        link(first, whatsapp)
        second.goto(whatsapp.url)

        first.until(f"{STATE} === 'CONFLICT'")
        second.until(f"window.WPP && {CONNECTED}")
        wait_until(lambda: whatsapp.connections()["logged_in"] == 1, 20, "the first one is out")
