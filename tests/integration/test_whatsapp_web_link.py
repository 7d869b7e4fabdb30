"""The stand-in's link: how it lives, breaks, heals and ends, and what happens to messages meanwhile."""

from __future__ import annotations

import time

import pytest

from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Browser, Page
from tests.whatsapp_web.client import PhoneRefused, WhatsAppWeb
from tests.whatsapp_web.devtools import DevToolsTimeout
from tests.whatsapp_web.people import FAMILY
from tests.whatsapp_web.wajs import (
    CONNECTED,
    MODE,
    RECONNECT,
    STATE,
    USABLE,
    acknowledged,
    arrived,
    heard,
    load,
    news,
    stored,
)

pytest_plugins = ["tests.whatsapp_web.fixtures"]

SEND = f"window.sending = WPP.chat.sendTextMessage('{FAMILY.id}', 'Can you hear me?').then((sent) => sent.ack); 1"
IS_PENDING = "Promise.race([%s, new Promise((resolve) => setTimeout(resolve, 300, 'pending'))])"


# --- a living link


def test_a_quiet_link_shows_frames_from_the_server(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.set_options(keepalive_s=0.1)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    linked_page.forget()

    linked_page.devtools.wait_until(lambda: len(linked_page.frames.received) >= 3, "pongs", timeout_s=20)
    assert {payload for _, payload in linked_page.frames.received} == {'[{"type": "pong"}]'}
    assert {payload for _, payload in linked_page.frames.sent} == {'{"type":"ping"}'}


def test_hooks_are_no_frames(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate("1")
    linked_page.forget()

    whatsapp.busy_loop(50)
    linked_page.evaluate("1")
    assert linked_page.frames.received == []


def test_reconnect_opens_a_new_connection_and_stays_on_the_page(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    opened = whatsapp.connections()["opened"]
    linked_page.evaluate("window.samePage = true")
    linked_page.forget()

    assert linked_page.evaluate(f"{RECONNECT}; {STATE}") == "OPENING"
    linked_page.until(CONNECTED)
    assert whatsapp.connections()["opened"] == opened + 1
    wait_until(lambda: whatsapp.connections()["open"] == 1, 20, "the old connection is closed")
    assert len(linked_page.frames.opened) == 1
    assert heard(linked_page, "conn.stream_mode_changed") == []
    assert linked_page.evaluate("window.samePage")


# --- a lost link


def test_after_a_drop_the_page_comes_back_by_itself_with_what_it_missed(
    linked_page: Page, whatsapp: WhatsAppWeb
) -> None:
    whatsapp.drop()
    linked_page.until(f"{STATE} === 'OPENING' && WPP.whatsapp.Stream.info === 'OPENING'")
    assert linked_page.evaluate(MODE) == "MAIN"
    missed = whatsapp.deliver_many(3)
    wait_until(lambda: whatsapp.connections()["refused"] >= 1, 20, "it has tried")

    whatsapp.restore()
    linked_page.until(CONNECTED)
    arrived(linked_page, missed[-1])
    assert stored(linked_page) == news(linked_page) == missed


def test_a_drop_can_last_until_it_is_restored(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.drop()
    linked_page.until(f"{STATE} === 'OPENING'")
    linked_page.evaluate(SEND)
    assert linked_page.evaluate(IS_PENDING % "window.sending") == "pending"

    whatsapp.restore()
    linked_page.until(CONNECTED)
    assert linked_page.evaluate("window.sending") == 1
    assert [message["body"] for message in whatsapp.outbox()] == ["Can you hear me?"]


# --- a half-open link


def test_a_half_open_link_looks_connected_until_it_is_reset(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open()
    linked_page.forget()
    key = whatsapp.deliver_text("Are you there?")
    linked_page.evaluate(SEND)
    linked_page.evaluate("window.asking = WPP.group.getAllGroups().then((all) => all.length); 1")

    assert linked_page.evaluate(IS_PENDING % "window.sending, window.asking") == "pending"
    assert linked_page.evaluate(STATE) == "CONNECTED"
    assert linked_page.frames.received == []
    assert stored(linked_page)[0].startswith("true_")
    assert whatsapp.model()[0]["sent_at"] == whatsapp.outbox() == []

    linked_page.evaluate(RECONNECT)
    assert linked_page.evaluate("Promise.all([window.sending, window.asking])") == [1, 1]
    arrived(linked_page, key)
    assert len(whatsapp.outbox()) == 1


def test_a_dead_network_is_not_cured_by_a_new_connection(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open(also_new=True)
    linked_page.evaluate(RECONNECT)
    linked_page.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")
    assert linked_page.evaluate(STATE) == "OPENING"

    whatsapp.restore()
    linked_page.until(CONNECTED)


def test_a_page_behind_a_dead_link_cannot_be_linked(page: Page, whatsapp: WhatsAppWeb) -> None:
    load(page, whatsapp)
    code = whatsapp.code_on_show()
    whatsapp.half_open()

    with pytest.raises(PhoneRefused, match="did not answer"):
        whatsapp.scan(code, timeout_s=0.3)
    assert whatsapp.connections()["devices"] == []


# --- a slow link


def test_a_slow_link_carries_every_frame_late_and_in_order(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.slow(0.4)
    started = time.monotonic()
    assert linked_page.evaluate("WPP.group.getAllGroups().then((all) => all.length)") == 1
    assert time.monotonic() - started >= 0.8  # there and back
    keys = whatsapp.deliver_many(3)
    arrived(linked_page, keys[-1])
    assert news(linked_page) == keys

    whatsapp.restore()
    linked_page.evaluate(RECONNECT)
    linked_page.until(CONNECTED)


# --- an account that is shut out


def test_who_is_shut_out_stays_out_whatever_the_page_tries(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.shut_out("TOS_BLOCK")
    linked_page.until(f"{MODE} === 'TOS_BLOCK'")
    linked_page.evaluate("window.formerPage = true; location.reload()")
    linked_page.until(f"!window.formerPage && window.WPP && WPP.isReady && {STATE} === 'TOS_BLOCK'")
    assert whatsapp.connections()["logged_in"] == 0

    whatsapp.restore()
    load(linked_page, whatsapp)
    linked_page.until(USABLE)


def test_another_client_takes_the_session_again_and_again(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.forget()
    whatsapp.shut_out("CONFLICT", after_s=0.2)
    for time_taken in (1, 2):
        linked_page.until(f"{STATE} === 'CONFLICT'")
        linked_page.evaluate("WPP.whatsapp.Socket.takeover()")
        # By what was told: it may be taken from us again before we look.
        wait_until(lambda n=time_taken: heard(linked_page, "conn.stream_mode_changed").count("MAIN") == n, 20, "ours")  # type: ignore[misc]
    linked_page.until(f"{STATE} === 'CONFLICT'")

    whatsapp.restore()
    linked_page.evaluate("WPP.whatsapp.Socket.takeover()")
    linked_page.until(CONNECTED)


# --- a page in trouble


def test_a_deaf_page_has_messages_and_tells_of_none_until_it_is_loaded_anew(
    linked_page: Page, whatsapp: WhatsAppWeb
) -> None:
    whatsapp.deafen()
    key = whatsapp.deliver_text("Can you hear me?")
    linked_page.until(f"WPP.whatsapp.MsgStore.get('{key}') !== undefined")
    acknowledged(linked_page, whatsapp)
    assert news(linked_page) == []

    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    arrived(linked_page, whatsapp.deliver_text("And now?"))


def test_a_slow_page_answers_late_and_is_well_again(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    # By the page's own clock: how late each of its timers is.
    linked_page.evaluate(
        "window.late = []; let due = performance.now() + 20;"
        "setInterval(() => { const now = performance.now(); late.push(now - due); due = now + 20; }, 20); 1"
    )
    whatsapp.slow_page(busy_ms=600, every_ms=650, for_ms=2000)
    linked_page.until("Math.max(...late) > 400")
    is_well = "(() => { const seen = late.splice(0); return seen.length > 20 && Math.max(...seen) < 400; })()"
    wait_until(lambda: linked_page.evaluate(is_well), 40, "it is well", every_s=2)
    assert linked_page.evaluate("1 + 1") == 2


def test_the_page_can_be_made_to_hang(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    whatsapp.busy_loop(3000)

    with pytest.raises(DevToolsTimeout):
        linked_page.evaluate("1", timeout_s=0.3)
    assert linked_page.evaluate("1 + 1", timeout_s=20) == 2


def test_the_page_can_be_crashed_and_is_still_linked_after_a_reload(
    linked_page: Page, whatsapp: WhatsAppWeb, chromium: Browser
) -> None:
    assert whatsapp.crash_page(chromium.devtools_port) == 1
    linked_page.devtools.wait_until(lambda: linked_page.crashed, "the crash", timeout_s=20)

    load(linked_page, whatsapp)
    linked_page.until(USABLE)
