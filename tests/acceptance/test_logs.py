"""A whole life of a service that is as talkative as it can be: who people are, what they write, codes and keys stand
in no line of its log, in no command line of its processes, and in nothing that supervisord tells. The lines of one
thing are found by what they have in common.
"""

import contextlib
import json
import os
import re
import signal
import urllib.request
import xmlrpc.client
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from supervisor.xmlrpc import SupervisorTransport

from tests.harness.private_words import CommandLines, PrivateWords
from tests.harness.s3_server import S3Server
from tests.harness.service import AROUND, SESSION, Service
from tests.harness.waiting import wait_until
from tests.harness.webhook_receiver import Post, receiving
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, ME
from whatsapp_contract.errors import ContractError, Refused
from whatsapp_contract.log_context import send_ref

from .conftest import QUICK

pytestmark = pytest.mark.timeout(900)  # they share one life of the service

TOKEN, PASSWORD, KEY = "Zugang-zum-Haus-77", "redis pass/wörd@42", "fedcba9876543210" * 4
TEXT, CAPTION = "Treffpunkt: die Brücke am Fluß 🌉", "Frühstück bei Großmutter"
MEDIA_KEY = "bWVkaWFLZXlPZkFQaG90b09mVGhlVGVzdA=="
OUT, OUT_CAPTION = "Deine Fotos liegen bereit", "Ein Bild für dich"
SIGNS_WITH, IN_THE_PATH, IN_THE_QUERY = "a secret that signs it all", "T0KEN-in-the-path-8", "t0ken-in-the-query-9"
STRANGER = "+49 (170) 555-0199"
NOBODY = "+39 333 999 9999"
KEY_WITH_NUMBER = "photos-for-491705550199"
MAX_BYTES = 5000
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8
CALLED_BY_NOBODY: list[dict[str, Any]] = [
    {"name": "+39 333 111 1111"},
    {"name": "393331111111"},
    {"name": "send_text", "args": {"393332222222": TEXT}},
    {"name": "send_text", "args": {"idempotency_key": KEY_WITH_NUMBER, "chat_id": "0039 333 222", "text": TEXT}},
    {"name": "pairing_code", "args": {"phone": "+39 333 0000001 x"}},
    {"name": "ping", "surprise": "393331111111"},
]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def private(s3: S3Server) -> PrivateWords:
    private = PrivateWords()
    private.numbers(*(person.phone.partition("@")[0] for person in (ME, ANNA, BRUNO)), STRANGER, NOBODY)
    private.words(TOKEN, PASSWORD, KEY, TEXT, CAPTION, MEDIA_KEY, OUT, OUT_CAPTION, s3.secret_key, s3.access_key)
    private.words("Frühstück", "Treffpunkt", KEY_WITH_NUMBER, SIGNS_WITH, IN_THE_PATH, IN_THE_QUERY)
    return private


@pytest.fixture(scope="module")
def lived(
    s3: S3Server, private: PrivateWords, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[dict[str, Any]], str, str]]:
    """The lines of a life with JSON, the text of one with text, and what was seen besides."""
    variables = {
        **QUICK,
        **s3.settings(),
        "MEDIA_STORE": "s3",
        "WEBHOOK_SECRET": SIGNS_WITH,
        "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
        "API_TOKEN": TOKEN,
        "REDIS_PASSWORD": PASSWORD,
        "SESSION_ENCRYPTION_KEY": KEY,
        "MEDIA_MAX_BYTES": str(MAX_BYTES),
        "FOLLOW_CHATS": "all",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
    }
    with (
        receiving(answer=refuses_some) as receiver,
        WhatsAppWeb(keepalive_s=2, reconnect_first_ms=200) as whatsapp,
        Service(
            tmp_path_factory.mktemp("logs"),
            whatsapp.url,
            **variables,
            WEBHOOK_URL=f"{receiver.url}/{IN_THE_PATH}?key={IN_THE_QUERY}",
        ) as service,
        CommandLines(service.pid) as lines,
    ):
        service.redis.connection_pool.connection_kwargs["password"] = PASSWORD
        link(service, whatsapp, private)
        messages_in(service, whatsapp, private)
        messages_out(service, whatsapp)
        nonsense(service)
        faults(service, whatsapp)
        lines.until("browser_agent.media")
        lines.until("-m webhooks")
        receiver.wait_taken(5, within_s=90)
        wait_until(lambda: any(post.status == 400 for post in receiver.posts), 90, "one is refused")
        told_by_supervisor = of_supervisor(service)
        last = service.last_event_id()
        assert service.stop() == 0
        log = service.log()

        # And once more, with text, what a start, a logout and a code have to say.
        service.log_file.write_text("")
        service.environ["LOG_FORMAT"] = "text"
        service.without = AROUND
        service.start()
        ready = str(service.wait_event("ready", after=last).id)
        whatsapp.deliver_text(TEXT, chat=ANNA.phone)
        service.wait_event("message", after=ready)
        for command in CALLED_BY_NOBODY:
            publish(service, command)
        service.client.call("logout", {"cause": "the test"})
        private.words(service.wait_event("qr", after=ready).data["payload"])
        wait_until(lambda: service.client.ping().state == "awaiting_scan", 60, "a code is waited for")
        private.words(service.client.call("pairing_code", {"phone": ME.phone.partition("@")[0]}).model_dump()["code"])
        wait_until(lambda: "pairing_code" in service.log(), 60, "the log has the last command")
        assert service.stop() == 0
        yield of_json(log), log + service.log(), "\n".join([*lines.seen, told_by_supervisor])


def refuses_some(post: Post) -> int:
    """What is refused is spoken of."""
    return 400 if post.event["type"] == "message_ack" else 204


def publish(service: Service, command: dict[str, Any]) -> None:
    assert service.redis.publish(f"whatsapp:{SESSION}:commands", json.dumps(command)) == 1


def link(service: Service, whatsapp: WhatsAppWeb, private: PrivateWords) -> None:
    """By a code for a phone number, after several that led to nothing."""
    service.wait_event("qr", within_s=90)
    whatsapp.rotate_qr()
    number = ME.phone.partition("@")[0]
    whatsapp.answer_link_codes("IQErrorRateOverlimit")
    with pytest.raises(Refused):
        service.client.call("pairing_code", {"phone": f"+{number[:2]} {number[2:5]} {number[5:]}"})
    whatsapp.answer_link_codes()
    for written in (number, f"00{number[:2]}-{number[2:]}"):
        wait_until(lambda: service.client.ping().state == "awaiting_scan", 60, "a code is waited for")
        code = service.client.call("pairing_code", {"phone": written}).model_dump()["code"]
        private.words(code, code.replace("-", ""))
    whatsapp.enter_link_code(code)
    service.wait_event("ready")
    private.words(*(event.data["payload"] for event in service.events("qr")))
    assert len(service.events("qr")) >= 2


def messages_in(service: Service, whatsapp: WhatsAppWeb, private: PrivateWords) -> None:
    whatsapp.deliver_text(TEXT)
    whatsapp.deliver_text(f"{TEXT} Ruf an: +39 333 222 2222", chat=ANNA.phone)
    card = "BEGIN:VCARD\nFN:Bruno\nTEL;waid=393332222222:+39 333 222 2222\nEND:VCARD"
    whatsapp.deliver_contact([("Bruno", card)])
    photo = whatsapp.deliver_photo(JPEG, caption=CAPTION, attributes={"mediaKey": MEDIA_KEY})
    broken = whatsapp.upload(JPEG[:-1], "image/jpeg")
    whatsapp.corrupt_media(broken["directPath"])
    whatsapp.deliver_many(1, CAPTION, chats=[ANNA.phone], media=broken)
    large = whatsapp.deliver_photo(bytes(MAX_BYTES + 1), caption=CAPTION)
    whatsapp.react(photo, "👍")
    whatsapp.edit(whatsapp.deliver_text("anders"), TEXT)
    whatsapp.revoke(whatsapp.deliver_text(TEXT))
    service.wait_event("media", where=lambda data: data["key"] == photo and data["status"] == "stored")
    service.wait_event("media", where=lambda data: data["key"] == large)
    private.words(*(message["media"]["mediaKey"] for message in whatsapp.model() if message["media"]))


def messages_out(service: Service, whatsapp: WhatsAppWeb) -> None:
    for folder in (service.data_dir / "outgoing",):
        folder.mkdir()
        (folder / "photo.jpg").write_bytes(JPEG)
    call = service.client.call
    whatsapp.add_person("491705550199@c.us", "200000000000199@lid", "Fremde")
    call("send_text", {"idempotency_key": KEY_WITH_NUMBER, "chat_id": STRANGER, "text": OUT})
    call(
        "send_media",
        {"idempotency_key": "m1", "chat_id": ANNA.phone, "source": "photo.jpg", "caption": OUT_CAPTION},
    )
    # What fails for good, in each of the ways.
    call("send_text", {"idempotency_key": "to-393339999999", "chat_id": NOBODY, "text": OUT})
    call("send_media", {"idempotency_key": "m2", "chat_id": ANNA.phone, "source": "none.jpg", "caption": OUT_CAPTION})
    call("suppress", {"add": ["+39 333 222 2222"]})
    with contextlib.suppress(ContractError):
        call("send_text", {"idempotency_key": "s1", "chat_id": "393332222222", "text": OUT})
    for key, ack in ((KEY_WITH_NUMBER, "sent"), ("m1", "sent"), ("to-393339999999", "failed"), ("m2", "failed")):
        service.wait_event(
            "message_ack",
            within_s=90,
            where=lambda data, key=key, ack=ack: (data["idempotency_key"], data["ack"]) == (key, ack),  # type: ignore[misc]
        )


def nonsense(service: Service) -> None:
    """Commands that cannot be carried out, with and without somebody to tell; requests that are none."""
    refused = int(service.status().refused_commands)
    for command in CALLED_BY_NOBODY:
        publish(service, command)
        publish(service, {**command, "id": str(uuid4())})
    service.redis.publish(f"whatsapp:{SESSION}:commands", f"393331111111 {TEXT}")
    wait_until(
        lambda: service.status().refused_commands >= refused + len(CALLED_BY_NOBODY) + 1, 60, "all of it was refused"
    )
    for query in (f"?token={TOKEN}", f"?token={TOKEN[:-1]}x", f"?q={PASSWORD[:5]}"):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{service.port}/{query}", timeout=5).close()


def faults(service: Service, whatsapp: WhatsAppWeb) -> None:
    """A browser that is killed, and a link that dies silently, with the incident that this is."""
    last = service.last_event_id()
    browser = service.status().browser_pid
    assert browser
    os.kill(browser, signal.SIGKILL)
    service.wait_event("ready", after=last, within_s=90)
    last = service.last_event_id()
    whatsapp.half_open()
    reset = service.wait_event("reset", after=last, within_s=90, where=lambda data: data["incident"] is not None)
    assert reset.data["proven"]
    wait_until(lambda: service.client.ping().state == "ready", 60, "ready again")
    # That of the link: that of the browser may be over already.
    over = {"event": "an incident is over", "incident": reset.data["incident"]}
    wait_until(
        lambda: any(over.items() <= line.items() for line in of_json(service.log())),
        90,
        "the incident is over",
        every_s=0.2,
    )


def of_supervisor(service: Service) -> str:
    """All that it tells of its programs."""
    transport = SupervisorTransport(None, None, f"unix://{service.run_dir / 'supervisor.sock'}")
    proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    told = [proxy.supervisor.getAllProcessInfo(), proxy.supervisor.getAllConfigInfo(), proxy.supervisor.getState()]
    transport.close()
    return json.dumps(told, ensure_ascii=False, default=str)


def of_json(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def test_nothing_private_stands_in_any_line_or_command_line(
    lived: tuple[list[dict[str, Any]], str, str], private: PrivateWords
) -> None:
    _lines, log, besides = lived
    assert private.found_in(log) == {}
    assert private.found_in(besides) == {}

    # It can be found, and there was something to look at.
    assert set(private.found_in(private.planted(log))) == private.all
    assert set(private.found_in("tel 0049-170 555 0199, (39) 333.1111111")) == {STRANGER, ANNA.phone.partition("@")[0]}
    for program in ("-m browser_agent", "-m workers", "-m web", "-m scheduler", "browser_agent.media", "redis-server"):
        assert program in besides
    assert "--user-data-dir=" in besides
    assert '"statename": "RUNNING"' in besides
    assert "█" in log  # codes are drawn, and that is all


def test_every_line_of_ours_says_where_it_comes_from(lived: tuple[list[dict[str, Any]], str, str]) -> None:
    lines, log, _besides = lived
    assert {"browser-agent", "worker", "scheduler"} <= {line["process"] for line in lines}
    for line in lines:
        assert line["event"]
        assert line["level"] in ("debug", "info", "warning", "error", "critical")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
    text = log[log.rindex("listening for commands") - 200 :]
    assert "\033[" not in log  # a file is no terminal
    facts = "operation=logout previous=ready process=browser-agent reason=logged_out state=logged_out"
    assert re.search(rf"Z \[info +\] state changed +{facts}\n", text)


def test_the_lines_of_a_command_an_incident_and_a_send_are_found_by_what_they_share(
    lived: tuple[list[dict[str, Any]], str, str],
) -> None:
    lines, _log, _besides = lived

    def having(**facts: Any) -> list[dict[str, Any]]:
        return [line for line in lines if facts.items() <= line.items()]

    refused = having(command="pairing_code", code="refused")
    assert [line["event"] for line in refused] == ["a command failed"]
    assert re.fullmatch(r"[0-9a-f-]{36}", refused[0]["command_id"])
    nobody = having(event="a command failed with nobody to tell")
    assert {line["code"] for line in nobody} == {"bad_json", "bad_command", "unknown_command", "bad_arguments"}

    assert having(event="a command failed with an error that its contract does not name") == []

    *_, rung = having(event="taking a rung", rung="reset")  # there may have been one for the browser
    of_incident = having(incident=rung["incident"])
    assert {line["process"] for line in of_incident} == {"worker", "browser-agent"}
    assert {"taking a rung", "a rung was carried out", "a command was carried out", "state changed"} <= {
        line["event"] for line in of_incident
    }
    of_agent = [line for line in of_incident if line["process"] == "browser-agent"]
    assert {line["operation"] for line in of_agent if line["event"] == "state changed"} == {rung["rung"]}
    told = [line for line in of_agent if line.get("event_type") == "reset"]
    assert re.fullmatch(r"\d+-\d+", told[0]["event_id"])

    of_send = having(send=send_ref("to-393339999999"))
    assert "a send is given up" in {line["event"] for line in of_send}
    assert {line["command"] for line in of_send if line["event"] == "a command was carried out"} == {
        "send_text",
        "carry_send",
    }
    assert having(event="an event was told", event_type="message_ack", send=send_ref(KEY_WITH_NUMBER))
