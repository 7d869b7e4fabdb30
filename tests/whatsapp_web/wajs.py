"""wa-js in a page of the stand-in, as the stand-in's own tests drive it."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import pytest

from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.server_process import REPOSITORY

BUNDLE = REPOSITORY / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
EVENTS = (
    "conn.auth_code_change",
    "conn.authenticated",
    "conn.backend_event",
    "conn.logout",
    "conn.main_ready",
    "conn.qrcode_idle",
    "conn.require_auth",
    "conn.stream_info_changed",
    "conn.stream_mode_changed",
    "chat.msg_ack_change",
)
LISTEN = """
;(() => {
  const say = (...what) => tell(JSON.stringify(what));
  const plain = (value) => (value && typeof value === 'object' ? value.fullCode || value.ack || '{}' : value);
  for (const name of %s) WPP.on(name, (...args) => say(name, ...args.map(plain)));
  WPP.on('chat.new_message', (message) => say('chat.new_message', {
    key: message.id.toString(), chat: String(message.from), author: message.author && String(message.author),
    type: message.type, text: message.body, caption: message.caption, isGroup: message.isGroupMsg,
  }));
})();
"""

USABLE = "WPP.conn.isAuthenticated() && WPP.whatsapp.Stream.mode === 'MAIN' && WPP.whatsapp.Stream.info === 'NORMAL'"
STATE = "WPP.whatsapp.Socket.state"
MODE = "WPP.whatsapp.Stream.mode"
CONNECTED = f"{STATE} === 'CONNECTED'"
RECONNECT = "WPP.whatsapp.Socket.reconnect()"


@cache
def bundle() -> str:
    """wa-js, to run at a document's start, with its events told to the test."""
    if not BUNDLE.exists():
        pytest.fail("wa-js is not installed: run npm ci in the repository's root")
    config = "window.WPPConfig = {disableGoogleAnalytics: true};"
    return config + BUNDLE.read_text() + LISTEN % json.dumps(EVENTS)


def heard(page: Page, event: str) -> list[Any]:
    """The first argument of every such event so far."""
    page.evaluate("1")
    return [said[1] if len(said) > 1 else None for said in page.told if said[0] == event]


def news(page: Page) -> list[str]:
    """The keys of the messages that wa-js reported as new."""
    return [message["key"] for message in heard(page, "chat.new_message")]


def stored(page: Page) -> list[str]:
    """The keys of all messages in the page's store."""
    keys: list[str] = page.evaluate("require('WAWebMsgCollection').MsgCollection.map((m) => m.id.toString())")
    return keys


def arrived(page: Page, key: str) -> None:
    """Wait for a message to be in the page's store."""
    page.until(f"!!WPP.whatsapp.MsgStore.get('{key}')")


def acknowledged(page: Page, whatsapp: WhatsAppWeb) -> None:
    """Wait until the server has an acknowledgement of every message that it sent to pages."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if all(message["acked"] for message in whatsapp.model() if message["to_device"]):
            return
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")
    raise AssertionError("messages stayed unacknowledged")


def load(page: Page, whatsapp: WhatsAppWeb) -> None:
    """Open the page and wait for wa-js to be ready."""
    page.goto(whatsapp.url)
    page.until("window.WPP && WPP.isFullReady")


def link(page: Page, whatsapp: WhatsAppWeb) -> None:
    """Scan the code and wait for the account to be usable."""
    whatsapp.scan()
    page.until(USABLE)
