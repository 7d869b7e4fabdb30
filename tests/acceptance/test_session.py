"""The session kept safe, by the whole service: stored, restored elsewhere, never replaced by a new QR code.

All on one service, whose tests begin with a machine that has nothing of the session or with another scan.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.harness.s3_proxy import Status
from tests.harness.s3_server import S3Server
from tests.harness.service import AROUND, COMMAND, REPOSITORY, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

POINTER = "sessions/test-session/pointer.json"
KEY = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(keepalive_s=2) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def service(whatsapp: WhatsAppWeb, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Scanned and ready, its session in S3 and encrypted; each test but the last leaves it ready."""
    folder = tmp_path_factory.mktemp("session")
    variables = {**s3.settings(), "SESSION_ENCRYPTION_KEY": KEY, "START_BUDGET": "1000"}
    with Service(folder, whatsapp.url, without=AROUND, **variables) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        yield service


def another_machine(service: Service) -> str:
    """Stopped, with nothing of the session on the disk any more; the id of the last event."""
    last = service.last_event_id()
    assert service.stop() == 0
    shutil.rmtree(service.data_dir / "sessions")
    return last


def scanned_anew(service: Service, whatsapp: WhatsAppWeb) -> str:
    """Logged out, and just now ready by another scan and with localStorage kept; the id of that event."""
    last = service.last_event_id()
    service.client.call("logout", {"cause": "the test"})
    code = service.wait_event("qr", after=last).data["payload"]
    dump = service.data_dir / "sessions/test-session/local-storage.json"
    assert not dump.exists()
    whatsapp.scan(code)
    ready = str(service.wait_event("ready", after=last).id)
    wait_until(dump.exists, 60, "localStorage is kept")
    return ready


def pointer(s3: S3Server) -> Any:
    return json.loads(s3.get(POINTER))


def test_a_session_in_s3_moves_to_a_machine_that_has_nothing_of_it(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    first = service.client.call("backup", {"cause": "the test"}).model_dump()
    saved = service.wait_event("session_saved", where=lambda data: data["generation"] == first["generation"])
    assert saved.data["is_new"]
    assert saved.data["encrypted"]
    second = service.client.call("backup").model_dump()
    assert (second["is_new"], second["generation"]) == (False, first["generation"])
    wait_until(lambda: service.status().session_generation == first["generation"], 20, "the status says so")

    last = another_machine(service)
    kept = pointer(s3)
    causes = [each["cause"] for each in kept["generations"]]
    # A minute after it was ready the agent saves by itself.
    assert [cause for cause in causes if cause != "first_ready"] in (["stop", "the test"], ["stop"]), causes
    assert len(causes) >= 2
    assert sorted(s3.keys()) == sorted([POINTER, *(each["key"] for each in kept["generations"])])
    assert b"IndexedDB" not in s3.get(kept["generations"][0]["key"])

    service.start()
    restored = service.wait_event("session_restored", after=last)
    assert restored.data["generation"] == kept["generations"][0]["id"]
    again = service.wait_event("ready", after=last)
    assert again.epoch > saved.epoch
    assert service.events("qr", after=last) == []
    key = whatsapp.deliver_text("to the new machine")
    service.wait_event("message", where=lambda data: data["key"] == key)
    assert KEY not in service.log()
    assert s3.secret_key not in service.log()


def test_a_store_that_does_not_answer_is_never_no_session(service: Service, s3: S3Server) -> None:
    last = another_machine(service)
    s3.faults.add(Status(503, "ServiceUnavailable"))
    service.start()
    told = service.wait_event("alert", after=last)
    assert told.data["code"] == "store_unavailable"
    wait_until(lambda: service.status().reason == "store_unavailable", 60, "the status says so")
    wait_until(lambda: service.status().session_problem == "store_unavailable", 20, "this, too")
    assert service.client.ping().state == "starting"
    assert service.client.check().verdict == "degraded"
    assert service.browser_processes() == []
    s3.faults.clear()
    service.wait_event("ready", after=last)
    assert service.events("qr", after=last) == []
    wait_until(lambda: service.status().session_problem is None, 20, "the status says that it is over")


def test_a_damaged_generation_falls_back_to_the_one_before(service: Service, s3: S3Server) -> None:
    service.client.call("backup")
    last = another_machine(service)
    newest, before = pointer(s3)["generations"][:2]
    data = bytearray(s3.get(newest["key"]))
    data[len(data) // 2] ^= 1
    s3.put(newest["key"], bytes(data))
    verified = subprocess.run(
        [COMMAND, "session", "verify", "--json"],
        env=service.environ, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (verified.returncode, json.loads(verified.stdout)["error"]["code"]) == (1, "bad_archive")
    service.start()
    told = service.wait_event("alert", after=last, where=lambda data: data["code"] == "session_damaged")
    assert newest["id"] in told.data["message"]
    assert service.wait_event("session_restored", after=last).data["generation"] == before["id"]
    service.wait_event("ready", after=last)
    assert service.events("qr", after=last) == []


def test_a_wrong_key_waits_for_a_person(service: Service, s3: S3Server) -> None:
    last = another_machine(service)
    keys = s3.keys()
    service.environ["SESSION_ENCRYPTION_KEY"] = "f" * 64
    service.start()
    service.wait_event("alert", after=last, where=lambda data: data["code"] == "wrong_key")
    wait_until(lambda: service.status().verdict == "waiting_for_person", 60, "a person is waited for")
    service.stop()
    assert s3.keys() == keys

    service.environ["SESSION_ENCRYPTION_KEY"] = KEY
    service.start()
    service.wait_event("ready", after=last)
    assert service.events("qr", after=last) == []


def test_a_logout_leaves_a_tombstone_alone(service: Service, whatsapp: WhatsAppWeb, s3: S3Server) -> None:
    last = service.last_event_id()
    service.client.call("logout", {"cause": "the test"})
    assert s3.keys() == [POINTER]
    assert pointer(s3)["tombstone"]["cause"] == "logout"
    whatsapp.scan(service.wait_event("qr", after=last).data["payload"])
    service.wait_event("ready", after=last)


def test_a_browser_killed_just_after_the_scan_keeps_the_account(service: Service, whatsapp: WhatsAppWeb) -> None:
    """localStorage reaches the disk up to a minute late."""
    ready = scanned_anew(service, whatsapp)
    browser = service.status().browser_pid
    assert browser
    os.kill(browser, signal.SIGKILL)
    service.wait_event("restarted", after=ready)
    service.wait_event("ready", after=ready)
    assert service.events("qr", after=ready) == []
    assert service.events("auth_failure", after=ready) == []


def test_a_stop_with_a_browser_that_hangs_just_after_the_scan_keeps_the_account(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    """Neither the profile here nor what is stored at the stop may lack what only the page knew."""
    ready = scanned_anew(service, whatsapp)
    for process in service.browser_processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    assert service.stop() == 0
    service.start()
    service.wait_event("ready", after=ready)
    last = another_machine(service)
    assert "stop" in [each["cause"] for each in pointer(s3)["generations"]]
    service.start()
    service.wait_event("ready", after=last)
    assert service.events("qr", after=ready) == []


def test_a_restored_session_that_is_unpaired_leaves_the_store_alone(
    service: Service, whatsapp: WhatsAppWeb, s3: S3Server
) -> None:
    last = another_machine(service)
    kept = pointer(s3)["generations"]
    whatsapp.log_out_from_phone()
    service.start()
    service.wait_event("auth_failure", after=last)
    service.wait_event("qr", after=last)
    assert service.events("ready", after=last) == []
    service.client.call("ping")
    service.stop()
    assert pointer(s3)["generations"] == kept
