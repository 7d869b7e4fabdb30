"""Messages out through the whole service: each once, with its acknowledgements, whoever is killed meanwhile."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.harness.service import COMMAND, REPOSITORY, SESSION, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY
from whatsapp_contract.errors import Refused
from whatsapp_contract.results import SendResult

from .conftest import QUICK

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
FAST = {"SEND_RATE": "6000", "SEND_RATE_PER_CHAT": "6000", "SEND_RATE_STRANGERS": "6000"}


@pytest.fixture(scope="module")
def sending(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that was scanned and is ready; its tests leave it ready."""
    with Service(tmp_path_factory.mktemp("sending"), whatsapp.url, **QUICK, **FAST) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        wait_until(lambda: service.program("worker").name == "RUNNING", 60, "the worker runs")
        (service.data_dir / "outgoing").mkdir()
        (service.data_dir / "outgoing/photo.jpg").write_bytes(JPEG)
        yield service


def give(service: Service, chat: str, text: str, key: str | None = None) -> str:
    """A send_text, and its key."""
    key = key or str(uuid4())
    service.client.call("send_text", {"idempotency_key": key, "chat_id": chat, "text": text})
    return key


def status(service: Service, key: str) -> SendResult:
    result = service.client.call("send_status", {"idempotency_key": key})
    assert isinstance(result, SendResult)
    return result


def acks(service: Service, key: str) -> list[str]:
    return [event.data["ack"] for event in service.events("message_ack") if event.data["idempotency_key"] == key]


def texts(whatsapp: WhatsAppWeb, chat: str) -> list[str]:
    return [message["text"] for message in whatsapp.outbox() if message["chat"] == chat and message["text"]]


def wait_sent(service: Service, keys: list[str], within_s: float = 120) -> None:
    def open_ones() -> list[str]:
        told = {
            event.data["idempotency_key"] for event in service.events("message_ack") if event.data["ack"] == "sent"
        }
        return [key for key in keys if key not in told]

    try:
        wait_until(lambda: not open_ones(), within_s, "all are sent")
    except AssertionError as error:
        raise AssertionError(f"{error}; open: {open_ones()}\n{service.log()[-3000:]}") from None


def test_a_command_by_publish_goes_out_once_and_is_acknowledged(sending: Service, whatsapp: WhatsAppWeb) -> None:
    command_id, key = str(uuid4()), str(uuid4())
    args = {"idempotency_key": key, "chat_id": "+393331111111", "text": "by publish"}
    command = {"id": command_id, "name": "send_text", "args": args}
    assert sending.redis.publish(f"whatsapp:{SESSION}:commands", json.dumps(command)) == 1
    popped: Any = sending.redis.blpop([f"whatsapp:{SESSION}:replies:{command_id}"], timeout=30)
    reply = json.loads(popped[1])
    assert (reply["ok"], reply["result"]["status"]) == (True, "queued")

    sent = sending.wait_event("message_ack", where=lambda data: data["idempotency_key"] == key)
    (message,) = [message for message in whatsapp.outbox() if message["text"] == "by publish"]
    assert (sent.data["key"], message["chat"], message["times"]) == (message["id"], ANNA.phone, 1)
    for ack in (2, 3):
        whatsapp.receipt(message["id"], ack)
    wait_until(lambda: acks(sending, key) == ["sent", "delivered", "read"], 60, "the acks")
    assert status(sending, key).status == "sent"
    assert "by publish" not in sending.log()
    assert "393331111111" not in sending.log()


def test_a_worker_that_is_killed_loses_and_doubles_nothing(sending: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    keys = [give(sending, (ANNA.phone, BRUNO.phone, FAMILY.id)[n % 3], f"worker {n}") for n in range(30)]
    for _ in range(3):
        wait_until(lambda: any(sending.redis.keys(f"whatsapp:{SESSION}:sends:queue:taken:*")), 60, "it works on some")
        pid = sending.program("worker").pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda old=pid: sending.pids().get("worker", old) not in (0, old), 60, "another worker")  # type: ignore[misc]
    whatsapp.answer_sends()
    wait_sent(sending, keys)
    for chat in range(3):
        expected = [f"worker {n}" for n in range(30) if n % 3 == chat]
        assert [
            text for text in texts(whatsapp, (ANNA.phone, BRUNO.phone, FAMILY.id)[chat]) if "worker" in text
        ] == expected
    assert [acks(sending, key).count("sent") for key in keys] == [1] * 30
    assert {message["times"] for message in whatsapp.outbox() if "worker" in (message["text"] or "")} == {1}


def test_an_agent_that_is_killed_loses_and_doubles_nothing(sending: Service, whatsapp: WhatsAppWeb) -> None:
    before = sending.last_event_id()
    whatsapp.hold_sends()
    keys = [give(sending, (ANNA.phone, FAMILY.id)[n % 2], f"agent {n}") for n in range(6)]
    photo = str(uuid4())
    args = {"idempotency_key": photo, "chat_id": BRUNO.phone, "source": "photo.jpg", "caption": "agent photo"}
    sending.client.call("send_media", args)
    wait_until(lambda: sum("agent" in (m["text"] or "") for m in whatsapp.outbox()) == 3, 60, "one of each chat")
    os.kill(sending.program("browser-agent").pid, signal.SIGKILL)
    sending.wait_event("ready", after=before, within_s=90)
    whatsapp.answer_sends()
    wait_sent(sending, [*keys, photo])
    assert [text for text in texts(whatsapp, ANNA.phone) if "agent" in text] == ["agent 0", "agent 2", "agent 4"]
    assert [text for text in texts(whatsapp, FAMILY.id) if "agent" in text] == ["agent 1", "agent 3", "agent 5"]
    (message,) = [message for message in whatsapp.outbox() if message["text"] == "agent photo"]
    assert whatsapp.media_bytes(message["media"]["directPath"]) == JPEG
    assert [acks(sending, key).count("sent") for key in [*keys, photo]] == [1] * 7


def test_a_worker_stops_in_time_amid_a_send(sending: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    key = give(sending, ANNA.phone, "amid")
    wait_until(lambda: "amid" in texts(whatsapp, ANNA.phone), 60, "it is on its way")
    started = time.monotonic()
    sending.control.restart("worker")
    assert time.monotonic() - started < 20  # three, on a machine that has nothing else to do
    whatsapp.answer_sends()
    wait_sent(sending, [key])


def test_a_worker_stops_in_time_while_redis_is_frozen(sending: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    key = give(sending, ANNA.phone, "frozen")
    wait_until(lambda: "frozen" in texts(whatsapp, ANNA.phone), 60, "it is on its way")
    redis = sending.program("redis").pid
    os.kill(redis, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        started = time.monotonic()
        sending.control.restart("worker")
        assert time.monotonic() - started < 20  # the worker's three seconds, likewise
    finally:
        os.kill(redis, signal.SIGCONT)
    whatsapp.answer_sends()
    wait_sent(sending, [key])


def run_json(service: Service, *arguments: str, stdin: str = "") -> tuple[int, Any]:
    done = subprocess.run(
        [COMMAND, *arguments, "--json"],
        env=service.environ, cwd=REPOSITORY, input=stdin, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def run_text(service: Service, *arguments: str) -> str:
    done = subprocess.run(
        [COMMAND, *arguments], env=service.environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line(sending: Service, whatsapp: WhatsAppWeb) -> None:
    code, paused = run_json(sending, "sends", "pause", "--cause", "the test")
    assert (code, paused["stopped"]) == (0, "paused: the test")
    code, given = run_json(sending, "send", "text", "+393331111111", "by hand", "--key", "hand-1")
    assert (code, given["idempotency_key"], given["status"]) == (0, "hand-1", "queued")
    assert run_json(sending, "sends", "status", "hand-1")[0] == 4
    sending.redis.zadd(f"whatsapp:{SESSION}:sends:open", {"lost": 1})  # an entry without a send
    code, listed = run_json(sending, "sends", "list")
    sending.redis.zrem(f"whatsapp:{SESSION}:sends:open", "lost")
    assert [send["idempotency_key"] for send in listed["sends"]] == ["hand-1"]
    assert [send["kind"] for send in listed["sends"]] == ["text"]
    assert listed["sends"][0]["detail"] == "all sending is stopped: paused: the test"
    assert ANNA.phone in run_text(sending, "sends", "list")
    code, state = run_json(sending, "status")
    assert (code, state["sends_open"] >= 1, state["sends_stopped"]) == (0, True, "paused: the test")
    assert "nothing is sent: paused: the test" in run_text(sending, "status")
    assert run_json(sending, "sends", "resume")[1]["stopped"] is None
    wait_sent(sending, ["hand-1"])
    code, sent = run_json(sending, "sends", "status", "hand-1")
    assert (code, sent["status"]) == (0, "sent")
    assert run_json(sending, "send", "text", FAMILY.id, "-", stdin="from\na pipe\n")[0] == 0
    assert run_json(sending, "send", "reaction", sent["message_key"], "👍")[0] == 0
    assert run_json(sending, "send", "reply", sent["message_key"], "yes")[0] == 0
    assert run_json(sending, "send", "media", FAMILY.id, "photo.jpg", "--as", "document")[0] == 0
    wait_until(lambda: sending.redis.zcard(f"whatsapp:{SESSION}:sends:open") == 0, 60, "all went out")
    assert "from\na pipe" in texts(whatsapp, FAMILY.id)

    assert run_json(sending, "suppress", "add", "+15550001111") == (0, {"suppressed": ["15550001111@c.us"]})
    code, refused = run_json(sending, "send", "text", "15550001111", "hello")
    assert (code, refused["error"]["code"]) == (1, "refused")
    assert run_json(sending, "suppress", "remove", "+15550001111") == (0, {"suppressed": []})
    assert run_json(sending, "suppress", "list") == (0, {"suppressed": []})
    assert run_json(sending, "sends", "status", "none")[1]["error"]["code"] == "not_found"


def test_a_redis_that_is_killed_loses_and_doubles_nothing(sending: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    keys = [give(sending, (ANNA.phone, FAMILY.id)[n % 2], f"redis {n}") for n in range(10)]
    wait_until(lambda: sum("redis" in (m["text"] or "") for m in whatsapp.outbox()) == 2, 60, "one of each chat")
    os.kill(sending.program("redis").pid, signal.SIGKILL)
    whatsapp.answer_sends()
    wait_sent(sending, keys)
    for chat, remainder in ((ANNA.phone, 0), (FAMILY.id, 1)):
        expected = [f"redis {n}" for n in range(10) if n % 2 == remainder]
        assert [text for text in texts(whatsapp, chat) if "redis" in text] == expected
    assert [acks(sending, key).count("sent") for key in keys] == [1] * 10
    assert "Traceback" not in sending.log(), sending.log()[sending.log().index("Traceback") - 600 :][:4000]


def test_a_redis_that_lost_its_memory_is_told_who_is_left_alone(sending: Service, whatsapp: WhatsAppWeb) -> None:
    sending.client.call("suppress", {"add": [ANNA.phone]})
    sending.client.call("backup", {})  # with it in the archive, which is read back and verified
    sending.redis.flushall()
    os.kill(sending.program("browser-agent").pid, signal.SIGKILL)
    wait_until(lambda: sending.redis.xlen(sending.client.names.events) > 0, 90, "the next agent speaks")
    sending.wait_event("ready", after="0", within_s=90)
    assert sending.redis.smembers(sending.client.names.suppressed) == {ANNA.phone}
    with pytest.raises(Refused):
        give(sending, ANNA.phone, "never")
    sending.client.call("suppress", {"remove": [ANNA.phone]})
    wait_sent(sending, [give(sending, ANNA.phone, "again")])
