"""Reactions, edits and revocations on the stand-in, as wa-js hears of them, and what is left of them later."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.waiting import wait_until
from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY, ME
from tests.whatsapp_web.wajs import USABLE, acknowledged, arrived, load

pytest_plugins = ["tests.whatsapp_web.fixtures"]

HEAR = """
window.heard = [];
WPP.on('chat.new_reaction', (r) => heard.push(
  ['reaction', r.id.toString(), r.msgId.toString(), r.reactionText, String(r.sender), typeof r.timestamp]));
WPP.on('chat.msg_edited', ({chat, id, msg}) => heard.push(['edited', id, msg.body, msg.latestEditMsgKey.toString()]));
WPP.on('chat.msg_revoke', ({author, refId, type}) => heard.push(
  ['revoked', refId.toString(), type, author ? String(author) : null])); 1
"""
REACTIONS = """
WPP.chat.getReactions('%s').then(({reactionByMe, reactions}) => [
  reactionByMe ? reactionByMe.reactionText : null,
  reactions.map((one) => [one.aggregateEmoji, one.hasReactionByMe, one.senders.map((s) => String(s.sender))])])
"""
AS_IT_IS = """
(() => { const m = WPP.whatsapp.MsgStore.get('%s');
  return [m.type, m.subtype ?? null, m.body ?? null, Boolean(m.hasReaction),
          m.latestEditMsgKey ? m.latestEditMsgKey.toString() : null, typeof m.revokeTimestamp]; })()
"""


def heard(page: Page) -> list[list[Any]]:
    said: list[list[Any]] = page.evaluate("heard")
    return said


def settled(page: Page) -> None:
    """Wait until what happened is in IndexedDB."""
    page.evaluate("require('StandInKeeping').flush()")


def test_reactions_come_change_and_go(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR)
    key = whatsapp.deliver_text("Look")
    first = whatsapp.react(key, "👍", author=BRUNO.phone)
    second = whatsapp.react(key, "👍", author=ANNA.phone)
    third = whatsapp.react(key, "❤", author=BRUNO.phone)
    linked_page.until("heard.length === 3")

    assert heard(linked_page) == [
        ["reaction", first, key, "👍", BRUNO.phone, "number"],
        ["reaction", second, key, "👍", ANNA.phone, "number"],
        ["reaction", third, key, "❤", BRUNO.phone, "number"],
    ]
    expected = [None, [["👍", False, [ANNA.phone]], ["❤", False, [BRUNO.phone]]]]
    assert linked_page.evaluate(REACTIONS % key) == expected
    settled(linked_page)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    assert linked_page.evaluate(REACTIONS % key) == expected
    assert linked_page.evaluate(AS_IT_IS % key)[3] is True

    whatsapp.react(key, "", author=BRUNO.phone)
    whatsapp.react(key, "", author=ANNA.phone)
    linked_page.until(f"WPP.whatsapp.MsgStore.get('{key}').hasReaction === false")
    assert linked_page.evaluate(REACTIONS % key) == [None, []]


def test_reactions_of_this_account_reach_the_outbox(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    key = whatsapp.deliver_text("Look")
    arrived(linked_page, key)
    react = "WPP.chat.sendReactionToMessage('%s', '%s').then((sent) => sent.sendMsgResult)"

    assert linked_page.evaluate(react % (key, "🎉")) == "OK"
    (sent,) = whatsapp.outbox()
    assert (sent["type"], sent["reaction"], sent["reactionParentKey"], sent["chat"]) == (
        "reaction",
        "🎉",
        key,
        FAMILY.id,
    )
    assert linked_page.evaluate(REACTIONS % key) == ["🎉", [["🎉", True, [ME.lid]]]]
    assert linked_page.evaluate(react % (key, "")) == "OK"
    assert [m["reaction"] for m in whatsapp.outbox()] == ["🎉", ""]
    assert linked_page.evaluate(REACTIONS % key) == [None, []]
    whatsapp.refuse_sends(429)
    assert linked_page.evaluate(react % (key, "🎉")) == "ERROR_UNKNOWN"


def test_edits(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR)
    key = whatsapp.deliver_text("Tomorow")
    edit = whatsapp.edit(key, "Tomorrow")
    linked_page.until("heard.length === 1")

    assert heard(linked_page) == [["edited", key, "Tomorrow", edit]]
    settled(linked_page)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    assert linked_page.evaluate(AS_IT_IS % key) == ["chat", None, "Tomorrow", False, edit, "undefined"]


@pytest.mark.parametrize(("author", "kind"), [(None, "sender"), (BRUNO.phone, "admin")])
def test_revocations(linked_page: Page, whatsapp: WhatsAppWeb, author: str | None, kind: str) -> None:
    linked_page.evaluate(HEAR)
    key = whatsapp.deliver_photo(b"oops", caption="Oops")
    whatsapp.revoke(key, author)
    linked_page.until("heard.length === 1")

    assert heard(linked_page) == [["revoked", key, f"{kind}_revoke", author or ANNA.phone]]
    gone = ["revoked", kind, None, False, None, "number"]
    assert linked_page.evaluate(AS_IT_IS % key) == gone
    settled(linked_page)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    assert linked_page.evaluate(AS_IT_IS % key) == gone
    assert linked_page.evaluate("WPP.whatsapp.MsgStore.length") == 1


def test_changes_wait_for_a_page_that_is_away(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    linked_page.evaluate(HEAR)
    keys = whatsapp.deliver_many(3)
    arrived(linked_page, keys[-1])
    whatsapp.drop(refuse_s=0.3)
    whatsapp.react(keys[0], "👍", author=BRUNO.phone)
    whatsapp.edit(keys[1], "Changed")
    whatsapp.revoke(keys[2])
    late = whatsapp.deliver_text("Late")
    whatsapp.edit(late, "Later")
    linked_page.until("heard.length === 4")

    # In the order in which wa-js gets to them, which is not that of what happened.
    assert sorted(said[0] for said in heard(linked_page)) == ["edited", "edited", "reaction", "revoked"]
    assert linked_page.evaluate(AS_IT_IS % late)[2] == "Later"


def test_changes_reach_what_is_not_loaded_and_what_comes_as_history(linked_page: Page, whatsapp: WhatsAppWeb) -> None:
    never = whatsapp.deliver_text("Never seen", to_device=False)
    whatsapp.edit(never, "Never seen, though edited")
    key = whatsapp.deliver_text("Old")
    arrived(linked_page, whatsapp.deliver_text("New"))
    acknowledged(linked_page, whatsapp)
    whatsapp.set_options(loaded_per_chat=1)
    load(linked_page, whatsapp)
    linked_page.until(USABLE)
    whatsapp.edit(key, "Older")
    whatsapp.react(key, "👍", author=BRUNO.phone)
    changed = [None, [["👍", False, [BRUNO.phone]]]]
    wait_until(lambda: linked_page.evaluate(REACTIONS % key) == changed, 20, "the reaction, the later of both")

    assert linked_page.evaluate(f"WPP.whatsapp.MsgStore.get('{key}') ?? null") is None
    bodies = f"WPP.chat.getMessages('{FAMILY.id}', {{count: -1}}).then((all) => all.map((m) => m.body))"
    assert linked_page.evaluate(bodies) == ["Older", "New"]
    chat = f"WPP.chat.get('{FAMILY.id}')"
    for _ in range(2):
        linked_page.evaluate(f"require('WAWebChatLoadMessages').loadEarlierMsgs({{chat: {chat}}}).then(() => 1)")
    assert linked_page.evaluate(f"{chat}.msgs.map((m) => m.body)") == ["Never seen, though edited", "Older", "New"]
