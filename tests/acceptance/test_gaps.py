"""Messages that came while nobody listened: found, told once, oldest first, as backfill."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.service import AROUND, Service
from tests.harness.told import told, wait_told
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import FAMILY

OTHER = "120363000000000002@g.us"


@pytest.fixture(scope="module")
def ready_service(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Scanned and ready. Nobody watches it: a watchdog would end a frozen agent before the test does."""
    with Service(tmp_path_factory.mktemp("service"), whatsapp.url, without=AROUND, **QUICK) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        yield service


@pytest.fixture
def service(ready_service: Service, whatsapp: WhatsAppWeb) -> Iterator[Service]:
    """Ready, and audited once. How the stand-in loads its page is as it was afterwards."""
    wait_until(lambda: ready_service.redis.hexists(ready_service.client.names.watermarks, "*"), 60, "the first audit")
    before = whatsapp.state()["options"]
    yield ready_service
    whatsapp.set_options(**{name: before[name] for name in ("loaded_per_chat", "messages_during_boot")})


def restart_agent(service: Service, sig: int = signal.SIGKILL) -> None:
    before = service.last_event_id()
    os.kill(service.pids()["browser-agent"], sig)
    service.wait_event("ready", after=before)


def test_everything_that_came_while_the_agent_was_frozen_and_then_killed(
    service: Service, whatsapp: WhatsAppWeb
) -> None:
    """The page took them all, and keeps only the last few in its store when it is loaded again."""
    whatsapp.set_options(loaded_per_chat=10)
    before = whatsapp.deliver_text("before")
    wait_told(service, [before])
    agent = service.pids()["browser-agent"]
    os.kill(agent, signal.SIGSTOP)
    keys = whatsapp.deliver_many(300, chats=(FAMILY.id, OTHER))
    wait_until(lambda: all(m["acked"] for m in whatsapp.model() if m["key"] in keys), 60, "the page has them all")
    last = service.last_event_id()
    os.kill(agent, signal.SIGKILL)
    service.wait_event("ready", after=last)
    found = wait_told(service, keys)
    assert {data["source"] for data in found} == {"backfill"}
    times = [data["sent_at"] for data in found]
    assert times == sorted(times)
    live = whatsapp.deliver_text("and on")
    assert wait_told(service, [live])[0]["source"] == "live"


def test_messages_that_only_the_phone_has(service: Service, whatsapp: WhatsAppWeb) -> None:
    """The device has nothing of the chat before the last one: the earlier ones are asked for."""
    chat = "120363000000000003@g.us"
    service.stop()
    keys = whatsapp.deliver_many(120, chats=(chat,), to_device=False)
    last = whatsapp.deliver_text("the last", chat=chat, written_at=int(time.time()) + 2)
    service.start()
    found = wait_told(service, [*keys, last])
    assert {data["source"] for data in found if data["key"] in keys} == {"backfill"}


def test_messages_of_the_page_s_boot_and_of_the_time_without_a_container(
    service: Service, whatsapp: WhatsAppWeb
) -> None:
    there, last = len(whatsapp.model()), service.last_event_id()
    wait_told(service, [whatsapp.deliver_text("before")])
    assert service.stop() == 0
    keys = [whatsapp.deliver_text(f"while away {n}") for n in range(5)]
    whatsapp.set_options(messages_during_boot=20)
    service.start()
    service.wait_event("ready", after=str(service.wait_event("restarted", after=last).id))
    wait_told(service, keys)
    wait_told(service, [message["key"] for message in whatsapp.model()])
    before = service.last_event_id()
    service.client.call("reload", {})
    service.wait_event("ready", after=before)
    wait_told(service, [message["key"] for message in whatsapp.model()])
    assert len(whatsapp.model()) == there + 46


def test_nothing_is_told_twice_through_a_reset_a_reload_and_a_new_browser(
    service: Service, whatsapp: WhatsAppWeb
) -> None:
    keys = whatsapp.deliver_many(50)
    wait_told(service, keys)
    for command in ("reset", "reload", "restart_browser"):
        before = service.last_event_id()
        service.client.call(command, {})
        service.wait_event("ready", after=before)
        keys.append(whatsapp.deliver_text(command))
        wait_told(service, keys)
    before = service.last_event_id()
    answer: Any = service.client.call("backfill", {})
    assert (answer.told, answer.complete) == (0, True)
    assert told(service, before) == []


def test_messages_around_a_photo_that_is_fetched_after_a_restart_are_found(
    service: Service, whatsapp: WhatsAppWeb
) -> None:
    """The page loads what is around a message that it is asked for into its store, though not into its chat."""
    whatsapp.set_options(loaded_per_chat=2)
    chat = "120363000000000004@g.us"
    wait_told(service, [whatsapp.deliver_text("before", chat=chat)])
    os.kill(service.pids()["browser-agent"], signal.SIGSTOP)
    keys = whatsapp.deliver_many(20, chats=(chat,))
    photo = whatsapp.deliver_photo(b"a photo", chat=chat)
    keys += whatsapp.deliver_many(20, chats=(chat,))
    wait_until(lambda: all(m["acked"] for m in whatsapp.model() if m["chat"] == chat), 60, "the page has them")
    restart_agent(service)
    wait_told(service, [*keys, photo])
    service.wait_event("media", where=lambda data: data["key"] == photo)
    answer: Any = service.client.call("backfill", {"chat_id": chat, "days": 1})
    assert (answer.told, answer.complete) == (42, True)


def test_a_picture_of_the_page(service: Service) -> None:
    answer: Any = service.client.call("screenshot", {})
    picture = Path(answer.path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_mode & 0o77 == 0
    assert picture.stat().st_size == answer.size
