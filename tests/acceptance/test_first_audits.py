"""What is found at a session's first audit, after the rules of what is followed have changed, and after Redis has lost
its marks: on a service of its own each, of which nothing was told before."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.service import AROUND, Service
from tests.harness.told import scan, told, wait_told
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, FAMILY

OTHER = "120363000000000002@g.us"


@pytest.fixture
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(keepalive_s=2, reconnect_first_ms=200) as whatsapp:
        yield whatsapp


@pytest.fixture
def service(whatsapp: WhatsAppWeb, tmp_path: Path) -> Iterator[Service]:
    """Scanned and ready, and audited once."""
    with Service(tmp_path, whatsapp.url, without=AROUND, **QUICK) as service:
        scan(service, whatsapp)
        yield service


def restart_agent(service: Service, sig: int = signal.SIGKILL) -> None:
    before = service.last_event_id()
    os.kill(service.pids()["browser-agent"], sig)
    service.wait_event("ready", after=before)


def test_the_first_login_replays_no_history(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    now = int(time.time())
    old = [whatsapp.deliver_text(f"old {n}", written_at=now - 86_400 * n) for n in range(1, 11)]
    with Service(tmp_path / "none", whatsapp.url, without=AROUND, **QUICK) as service:
        scan(service, whatsapp)
        new = whatsapp.deliver_text("new")
        wait_told(service, [new])
        assert [data["key"] for data in told(service)] == [new]
        answer: Any = service.client.call("backfill", {"chat_id": FAMILY.id, "days": 3.5})
        assert (answer.told, answer.chats, answer.complete) == (4, 1, True)
        assert {data["key"] for data in told(service)} == {new, *old[:3]}
    whatsapp.log_out_from_phone()
    with Service(
        tmp_path / "some", whatsapp.url, without=AROUND, BACKFILL_ON_FIRST_LOGIN_DAYS="5.5", **QUICK
    ) as service:
        scan(service, whatsapp)
        found = wait_told(service, [*old[:5], new])
        assert [data["key"] for data in found] == [*reversed(old[:5]), new]
        assert len(told(service)) == 6


def test_what_is_followed_changes_by_command(service: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.add_group(OTHER, "Other things", [ANNA.phone])
    unheard = whatsapp.deliver_text("private", chat=ANNA.phone, written_at=int(time.time()) - 5)
    wait_told(service, [whatsapp.deliver_text("one", chat=OTHER)])
    answer: Any = service.client.call("follow_chats", {"chats": ["Fam*", "private"]})
    assert (answer.chats, answer.matching) == (["Fam*", "private"], 2)
    other = whatsapp.deliver_text("two", chat=OTHER)
    private = whatsapp.deliver_text("private again", chat=ANNA.phone)
    family = whatsapp.deliver_text("family")
    wait_told(service, [family, private])
    restart_agent(service)
    later = whatsapp.deliver_text("three", chat=OTHER)
    wait_told(service, [whatsapp.deliver_text("family again")])
    assert not {unheard, other, later} & {data["key"] for data in told(service)}
    chats: Any = service.client.call("list_chats", {})
    assert {chat.name: chat.followed for chat in chats.chats} == {
        "Family photos": True,
        "Other things": False,
        "Anna": True,
    }
    groups: Any = service.client.call("list_groups", {})
    family_group = next(group for group in groups.groups if group.id == FAMILY.id)
    assert (family_group.name, family_group.size, len(family_group.members)) == ("Family photos", 3, 3)
    assert {member.phone for member in family_group.members} >= {ANNA.phone.split("@")[0]}


def test_a_chat_that_is_renamed_into_the_rules_does_not_replay_its_past(
    service: Service, whatsapp: WhatsAppWeb
) -> None:
    whatsapp.add_group(OTHER, "Work", [ANNA.phone])
    old = whatsapp.deliver_text("old", chat=OTHER, written_at=int(time.time()) - 3000)
    wait_told(service, [old])
    service.client.call("follow_chats", {"chats": ["Family*"]})
    unheard = whatsapp.deliver_text("unheard", chat=OTHER, written_at=int(time.time()) - 60)
    wait_until(lambda: all(m["acked"] for m in whatsapp.model() if m["key"] == unheard), 60, "the page has it")
    service.client.call("backfill", {})  # the chat's mark moves with it
    seen = len(told(service))
    whatsapp.add_group(OTHER, "Family at work", [ANNA.phone])
    restart_agent(service)
    new = whatsapp.deliver_text("new", chat=OTHER)
    wait_told(service, [new])
    assert len(told(service)) == seen + 1
    assert told(service)[-1]["chat_name"] == "Family at work"
    assert unheard not in {data["key"] for data in told(service)}


def test_a_redis_that_lost_its_memory_gets_its_marks_again(service: Service, whatsapp: WhatsAppWeb) -> None:
    first = whatsapp.deliver_text("before")
    wait_told(service, [first])
    service.client.call("backup", {})
    service.redis.flushall()
    alone = whatsapp.deliver_text("before the next audit")
    wait_told(service, [alone])
    agent = service.pids()["browser-agent"]
    os.kill(agent, signal.SIGSTOP)
    missed = whatsapp.deliver_many(3, chats=(OTHER, FAMILY.id))
    wait_until(lambda: all(m["acked"] for m in whatsapp.model() if m["key"] in missed), 60, "the page has them")
    restart_agent(service)
    second = whatsapp.deliver_text("after")
    wait_told(service, [*missed, second])
    names = service.client.names
    for mark in (FAMILY.id, "*"):
        wait_until(lambda mark=mark: service.redis.hexists(names.watermarks, mark), 60, "it is there again")  # type: ignore[misc]
