"""Photos through the whole service, from the stand-in's media hosts to S3: none lost, none twice, whoever dies."""

import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from tests.acceptance.conftest import QUICK
from tests.harness.s3_proxy import Status
from tests.harness.s3_server import S3Server
from tests.harness.service import COMMAND, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, ME
from whatsapp_contract.events import Event

MAX_BYTES = 2_000_000


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def service(whatsapp: WhatsAppWeb, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Sessions in a directory, photos in S3."""
    variables = {**s3.settings(), "SESSION_STORE": "directory", "MEDIA_STORE": "s3", "MEDIA_MAX_BYTES": str(MAX_BYTES)}
    with Service(tmp_path_factory.mktemp("media"), whatsapp.url, **variables, **QUICK) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        yield service


@pytest.fixture(autouse=True)
def no_faults(s3: S3Server) -> Iterator[None]:
    yield
    s3.faults.clear()


def ended(service: Service, keys: list[str], within_s: float = 120) -> dict[str, list[Event]]:
    """The media events of these messages, once each has one."""

    def found() -> dict[str, list[Event]]:
        events: dict[str, list[Event]] = {}
        for event in service.events("media"):
            if event.data["key"] in keys:
                events.setdefault(event.data["key"], []).append(event)
        return events if len(events) == len(set(keys)) else {}

    return wait_until(found, within_s, "a media event of each")


def object_of(s3: S3Server, event: Event) -> bytes:
    return s3.get(event.data["url"].removeprefix(f"s3://{s3.bucket}/"))


def _record(service: Service, key: str) -> dict[str, Any]:
    kept = service.redis.hget(service.client.names.media, key)
    return json.loads(str(kept)) if kept else {}


def cli(service: Service, *arguments: str) -> tuple[int, list[Any]]:
    """The exit code and the JSON documents on stdout."""
    command = [str(COMMAND), "media", *arguments, "--json"]
    done = subprocess.run(command, env=service.environ, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_photo_is_told_and_then_stored_byte_for_byte(service: Service, whatsapp: WhatsAppWeb, s3: S3Server) -> None:
    photo = os.urandom(1_000_000)
    key = whatsapp.deliver_photo(photo, width=30, height=20)
    message = service.wait_event("message", where=lambda data: data["key"] == key)
    sha256 = hashlib.sha256(photo).hexdigest()
    assert message.data["media"] == {
        "status": "pending", "mimetype": "image/jpeg", "size": len(photo), "sha256": sha256, "filename": None,
        "width": 30, "height": 20,
    }  # fmt: skip
    [media] = ended(service, [key])[key]
    assert media.seq > message.seq
    assert (media.data["status"], media.data["sha256"], media.data["size"]) == ("stored", sha256, len(photo))
    assert media.data["url"].startswith(f"s3://{s3.bucket}/media/test-session/")
    assert object_of(s3, media) == photo


def test_the_same_photo_in_five_groups_is_stored_once(service: Service, whatsapp: WhatsAppWeb, s3: S3Server) -> None:
    media = whatsapp.upload(os.urandom(200_000), "image/jpeg")
    groups = [f"12036300000000010{n}@g.us" for n in range(5)]
    for group in groups:
        whatsapp.add_group(group, "A group", [ME.phone, ANNA.phone])
    before = set(s3.keys())
    keys = whatsapp.deliver_many(5, chats=groups, media=media)
    urls = {event.data["url"] for [event] in ended(service, keys).values()}
    assert len(urls) == 1
    assert len(set(s3.keys()) - before) == 1


def test_what_the_server_has_no_more_is_uploaded_again(service: Service, whatsapp: WhatsAppWeb, s3: S3Server) -> None:
    photo = os.urandom(50_000)
    media = whatsapp.upload(photo, "image/jpeg")
    whatsapp.gone(media["directPath"])
    [key] = whatsapp.deliver_many(1, media=media)
    [event] = ended(service, [key])[key]
    assert event.data["status"] == "stored"
    assert object_of(s3, event) == photo
    assert key in {retry["key"] for retry in whatsapp.state()["media_retries"]}


def test_what_the_phone_has_not_at_hand_is_asked_for_again(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    photo = os.urandom(50_000)
    media = whatsapp.upload(photo, "image/jpeg")
    whatsapp.gone(media["directPath"])
    whatsapp.phone_has(media["directPath"], False)
    [key] = whatsapp.deliver_many(1, media=media)
    wait_until(lambda: _record(service, key).get("problem") == "gone", 60, "it is known to be gone")
    whatsapp.phone_has(media["directPath"])
    [event] = ended(service, [key])[key]
    assert event.data["status"] == "stored"
    assert event.data["attempts"] >= 1
    assert object_of(s3, event) == photo


def test_other_bytes_than_the_message_s_are_never_stored(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    """Also where the page does not look itself."""
    photo = os.urandom(50_000)
    media = whatsapp.upload(photo, "image/jpeg")
    whatsapp.set_options(check_media_hash=False)
    before, last = set(s3.keys()), service.last_event_id()
    service.client.call("reload")
    service.wait_event("ready", after=last)
    whatsapp.corrupt_media(media["directPath"])
    [key] = whatsapp.deliver_many(1, media=media)
    wait_until(lambda: _record(service, key).get("problem") == "corrupt", 60, "it was found to be corrupt")
    assert set(s3.keys()) == before
    whatsapp.corrupt_media(media["directPath"], False)
    [event] = ended(service, [key])[key]
    assert object_of(s3, event) == photo


def test_a_dead_letter_is_listed_and_tried_again(service: Service, whatsapp: WhatsAppWeb) -> None:
    key = whatsapp.deliver_photo(bytes(MAX_BYTES + 1))
    [event] = ended(service, [key])[key]
    assert (event.data["status"], event.data["error"]) == ("failed", "too_large")
    code, listed = cli(service, "list", "--failed")
    assert code == 0
    assert [(record["key"], record["error"]) for record in listed] == [(key, "too_large")]
    assert cli(service, "retry", key, "false_1@g.us_x") == (1, [{"retried": 1, "unknown": ["false_1@g.us_x"]}])
    wait_until(lambda: len(ended(service, [key])[key]) == 2, 60, "it failed once more")
    assert cli(service, "retry", "--all") == (0, [{"retried": 1, "unknown": []}])


def test_a_link_is_signed(service: Service, whatsapp: WhatsAppWeb, s3: S3Server) -> None:
    photo = os.urandom(1000)
    key = whatsapp.deliver_photo(photo)
    ended(service, [key])
    code, [answer] = cli(service, "url", key, "--expires-in", "60")
    assert code == 0
    link = urlsplit(answer["url"])
    assert s3.get(link.path.removeprefix(f"/{s3.bucket}/")) == photo  # moto itself cannot follow one
    signed = parse_qs(link.query)
    assert signed["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert signed["X-Amz-Expires"] == ["60"]
    assert cli(service, "url", "false_1@g.us_x")[1][0]["error"]["code"] == "not_found"


def test_the_agent_killed_at_any_time_loses_no_photo_and_tells_none_twice(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    photos: dict[str, bytes] = {}
    for _ in range(5):
        told = len(service.events("media"))  # before they are delivered: the first may be stored before the last comes
        for _ in range(8):
            photo = os.urandom(random.randrange(10_000, 1_500_000))
            photos[whatsapp.deliver_photo(photo)] = photo
        some = random.randrange(6)
        wait_until(lambda: len(service.events("media")) >= told + some, 120, "some are stored")  # noqa: B023
        former = service.program("browser-agent").pid
        psutil.Process(former).kill()

        def another_runs(former: int = former) -> bool:
            agent = service.program("browser-agent")
            return agent.name == "RUNNING" and agent.pid != former

        # Sooner, and supervisord would take it for one that cannot be started.
        wait_until(another_runs, 60, "another agent")
    events = ended(service, list(photos), within_s=120)
    assert {key: len(told) for key, told in events.items() if len(told) != 1} == {}
    assert {key for key, [event] in events.items() if object_of(s3, event) != photos[key]} == set()
    media = service.data_dir / "sessions" / "test-session" / "media"
    wait_until(lambda: list(media.iterdir()) == [], 60, "nothing is left on the disk")


def test_the_store_down_and_everything_restarted_meanwhile(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    s3.faults.add(Status(503, "SlowDown"), method="PUT")
    before = service.last_event_id()
    photos = {whatsapp.deliver_photo(photo): photo for photo in (os.urandom(100_000) for _ in range(10))}
    service.wait_event("alert", after=before, where=lambda data: data["code"] == "media_store_trouble")
    assert service.stop() == 0
    service.start()
    service.wait_event("ready", after=before, within_s=90)
    whatsapp_key = whatsapp.deliver_photo(b"one more")
    photos[whatsapp_key] = b"one more"
    service.wait_event("message", where=lambda data: data["key"] == whatsapp_key)
    s3.faults.clear()
    events = ended(service, list(photos))
    assert {key: len(told) for key, told in events.items() if len(told) != 1} == {}
    assert {key for key, [event] in events.items() if object_of(s3, event) != photos[key]} == set()
