"""The session kept safe, by the whole service: stored, restored elsewhere, never replaced by a new QR code."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.s3_proxy import Status
from tests.harness.s3_server import S3Server
from tests.harness.service import COMMAND, REPOSITORY, Service
from tests.harness.waiting import wait_until
from tests.harness.whatsapp_web_js import SYNC_MS, JsClient, node_with_packages
from tests.whatsapp_web.client import WhatsAppWeb

POINTER = "sessions/test-session/pointer.json"
KEY = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def stand_in() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(keepalive_s=2) as whatsapp:
        yield whatsapp


@pytest.fixture
def whatsapp(stand_in: WhatsAppWeb) -> WhatsAppWeb:
    stand_in.reset()
    return stand_in


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Server:
    s3_server.reset()
    return s3_server


def run(environ: dict[str, str], *arguments: str, code: int = 0) -> Any:
    """What `whatsapp-container session ... --json` prints."""
    done = subprocess.run(
        [COMMAND, "session", *arguments, "--json"],
        env=environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def scanned(service: Service, whatsapp: WhatsAppWeb) -> str:
    """Ready for the first time; the id of that event."""
    whatsapp.scan(service.wait_event("qr").data["payload"])
    return str(service.wait_event("ready").id)


def another_machine(service: Service) -> None:
    """Nothing of the session on the disk any more."""
    shutil.rmtree(service.data_dir / "sessions")


def pointer(s3: S3Server) -> Any:
    return json.loads(s3.get(POINTER))


def test_a_session_in_s3_moves_to_a_machine_that_has_nothing_of_it(
    whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path
) -> None:
    with Service(tmp_path, whatsapp.url, **s3.settings(), SESSION_ENCRYPTION_KEY=KEY) as service:
        ready = scanned(service, whatsapp)
        first = service.client.call("backup", {"cause": "the test"}).model_dump()
        assert first["is_new"]
        saved = service.wait_event("session_saved", after=ready)
        assert saved.data["generation"] == first["generation"]
        assert saved.data["encrypted"]
        second = service.client.call("backup").model_dump()
        assert (second["is_new"], second["generation"]) == (False, first["generation"])
        assert service.status().session_generation == first["generation"]
        assert service.stop(within_s=9) == 0
        kept = pointer(s3)
        assert [each["cause"] for each in kept["generations"]] == ["stop", "the test"]
        assert sorted(s3.keys()) == sorted([POINTER, *(each["key"] for each in kept["generations"])])
        assert b"IndexedDB" not in s3.get(kept["generations"][0]["key"])

        another_machine(service)
        service.start()
        restored = service.wait_event("session_restored", after=ready)
        assert restored.data["generation"] == kept["generations"][0]["id"]
        again = service.wait_event("ready", after=ready)
        assert again.epoch > saved.epoch
        assert service.events("qr", after=ready) == []
        key = whatsapp.deliver_text("to the new machine")
        service.wait_event("message", where=lambda data: data["key"] == key)
        assert KEY not in service.log()
        assert s3.secret_key not in service.log()

        service.client.call("logout", {"cause": "the test"})
        assert s3.keys() == [POINTER]
        assert pointer(s3)["tombstone"]["cause"] == "logout"


def test_a_store_that_does_not_answer_is_never_no_session(whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path) -> None:
    with Service(tmp_path, whatsapp.url, **s3.settings()) as service:
        ready = scanned(service, whatsapp)
        service.stop(within_s=9)
        another_machine(service)
        s3.faults.add(Status(503, "ServiceUnavailable"))
        service.start()
        told = service.wait_event("alert", after=ready)
        assert told.data["code"] == "store_unavailable"
        wait_until(lambda: service.status().reason == "store_unavailable", 5, "the status says so")
        assert service.status().session_problem == "store_unavailable"
        assert service.client.ping().state == "starting"
        assert service.client.check().verdict == "degraded"
        assert service.browser_processes() == []
        s3.faults.clear()
        service.wait_event("ready", after=ready)
        assert service.events("qr", after=ready) == []
        assert service.status().session_problem is None


def test_a_damaged_generation_falls_back_to_the_one_before(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    with Service(tmp_path, whatsapp.url) as service:
        ready = scanned(service, whatsapp)
        service.client.call("backup")
        service.stop(within_s=9)
        store = service.data_dir / "store"
        newest, before = json.loads((store / POINTER).read_text())["generations"]
        archive = store / newest["key"]
        data = bytearray(archive.read_bytes())
        data[len(data) // 2] ^= 1
        archive.write_bytes(data)
        another_machine(service)
        assert run(service.environ, "verify", code=1)["error"]["code"] == "bad_archive"
        service.start()
        told = service.wait_event("alert", after=ready)
        assert told.data["code"] == "session_damaged"
        assert newest["id"] in told.data["message"]
        assert service.wait_event("session_restored", after=ready).data["generation"] == before["id"]
        service.wait_event("ready", after=ready)
        assert service.events("qr", after=ready) == []


def test_a_restored_session_that_is_unpaired_leaves_the_store_alone(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    with Service(tmp_path, whatsapp.url) as service:
        ready = scanned(service, whatsapp)
        service.stop(within_s=9)
        kept = json.loads((service.data_dir / "store" / POINTER).read_text())["generations"]
        whatsapp.log_out_from_phone()
        another_machine(service)
        service.start()
        service.wait_event("auth_failure", after=ready)
        service.wait_event("qr", after=ready)
        service.client.call("ping")
        service.stop(within_s=9)
        assert json.loads((service.data_dir / "store" / POINTER).read_text())["generations"] == kept


def test_a_wrong_key_waits_for_a_person(whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path) -> None:
    variables = {**s3.settings(), "SESSION_ENCRYPTION_KEY": KEY}
    with Service(tmp_path / "a", whatsapp.url, **variables) as service:
        scanned(service, whatsapp)
    keys = s3.keys()
    with Service(tmp_path / "b", whatsapp.url, **{**variables, "SESSION_ENCRYPTION_KEY": "f" * 64}) as service:
        assert service.wait_event("alert").data["code"] == "wrong_key"
        wait_until(lambda: service.status().verdict == "waiting_for_person", 5, "a person is waited for")
        assert service.events("qr") == []
    assert s3.keys() == keys


def test_an_agent_that_was_outrun_in_the_store_closes_its_browser_and_saves_no_more(
    whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path
) -> None:
    """Two containers with a Redis each: only the bucket can keep them apart."""
    with Service(tmp_path / "a", whatsapp.url, **s3.settings()) as first:
        scanned(first, whatsapp)
        first.client.call("backup")
        with (
            RedisServer(tmp_path / "redis") as redis,
            Service(
                tmp_path / "b", whatsapp.url, REDIS_HOST="127.0.0.1", REDIS_PORT=str(redis.port), **s3.settings()
            ) as second,
        ):
            second.wait_event("ready")
            taken = pointer(s3)["epoch"]
            first.redis.publish(first.client.names.commands, "backup")
            wait_until(lambda: first.browser_processes() == [], 10, "the outrun agent closed its browser")
            assert first.wait_event("alert").data["code"] == "outrun"
            check = first.client.check()
            assert (check.verdict, check.reason) == ("waiting_for_person", "outrun")
            assert pointer(s3)["epoch"] == taken
            newest = second.client.call("backup").model_dump()["generation"]
            assert pointer(s3)["generations"][0]["id"] == newest


def test_a_browser_killed_just_after_the_scan_keeps_the_account(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    """localStorage reaches the disk up to a minute late."""
    with Service(tmp_path, whatsapp.url) as service:
        ready = scanned(service, whatsapp)
        dump = service.data_dir / "sessions/test-session/local-storage.json"
        wait_until(dump.exists, 5, "localStorage is kept")
        browser = service.status().browser_pid
        assert browser
        os.kill(browser, signal.SIGKILL)
        service.wait_event("restarted", after=ready)
        service.wait_event("ready", after=ready)
        assert service.events("qr", after=ready) == []
        assert service.events("auth_failure") == []


def account_is_on_the_disk(data: Path) -> bool:
    logs = data.glob("RemoteAuth-shula/Default/Local Storage/leveldb/*.log")
    return any("last-wid".encode(coding) in log.read_bytes() for log in logs for coding in ("latin1", "utf-16-le"))


def test_a_session_of_whatsapp_web_js_is_taken_over_without_a_scan(
    whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path
) -> None:
    """The real whatsapp-web.js logs in and backs up by wwebjs-aws-s3; then it is stopped, and we go on."""
    node, old_data = node_with_packages(), tmp_path / "old"
    old_data.mkdir()
    place = {"endpoint": s3.direct_url, "bucket": s3.bucket, "remotePath": "backups", "clientId": "shula"}
    access_key, secret_key = s3.admin_keys
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    whatsapp.set_options(sync_ms=SYNC_MS)
    client = JsClient(node, whatsapp.url, old_data, place, keys)
    try:
        whatsapp.scan(client.next("qr"))
        client.next("ready")
        # whatsapp-web.js waits a minute before its first backup: until then localStorage may not be on the disk.
        wait_until(lambda: account_is_on_the_disk(old_data), 70, "localStorage is on the disk", every_s=0.2)
        client.call("backUp")
    finally:
        client.close()
    assert s3.keys() == ["backups/RemoteAuth-shula.zip"]
    backup = s3.get("backups/RemoteAuth-shula.zip")

    service = Service(tmp_path / "new", whatsapp.url, **s3.settings())
    imported = run(service.environ, "import", "--from-store", "--client-id", "shula", "--remote-path", "backups")
    with service:
        restored = service.wait_event("session_restored")
        assert restored.data["generation"] == imported["generation"]
        service.wait_event("ready")
        assert service.events("qr") == []
        key = whatsapp.deliver_text("to the new service")
        service.wait_event("message", where=lambda data: data["key"] == key)
    assert s3.get("backups/RemoteAuth-shula.zip") == backup


def test_a_stop_with_a_browser_that_hangs_just_after_the_scan_keeps_the_account(
    whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    """Neither the profile here nor what is stored at the stop may lack what only the page knew."""
    with Service(tmp_path, whatsapp.url) as service:
        ready = scanned(service, whatsapp)
        wait_until((service.data_dir / "sessions/test-session/local-storage.json").exists, 5, "localStorage is kept")
        for process in service.browser_processes():
            process.suspend()
        assert service.stop(within_s=9) == 0
        service.start()
        again = str(service.wait_event("ready", after=ready).id)
        service.stop(within_s=9)
        newest = json.loads((service.data_dir / "store" / POINTER).read_text())["generations"]
        assert "stop" in [each["cause"] for each in newest]
        another_machine(service)
        service.start()
        service.wait_event("ready", after=again)
        assert service.events("qr", after=ready) == []


def test_the_cli_lists_verifies_exports_imports_goes_back_and_deletes(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    with Service(tmp_path / "a", whatsapp.url) as service:
        ready = scanned(service, whatsapp)
        first = run(service.environ, "backup")["generation"]
        whatsapp.deliver_text("something new")
        service.wait_event("message", after=ready)
        second = run(service.environ, "backup")["generation"]
        assert [each["id"] for each in run(service.environ, "list")["generations"]] == [second, first]
        assert run(service.environ, "verify")["generation"] == second
        assert run(service.environ, "delete", "--yes", code=1)["error"]["code"] == "running"
        assert run(service.environ, "verify", "--generation", "none", code=1)["error"]["code"] == "not_found"

        exported = tmp_path / "exported.tar.zst"
        assert run(service.environ, "export", str(exported), "--generation", first)["generation"] == first
        assert exported.stat().st_mode & 0o777 == 0o600
        assert run(service.environ, "export", str(exported), code=1)["error"]["code"] == "exists"

        before = service.last_event_id()
        went_back = run(service.environ, "restore", "--generation", first, "--yes")
        assert (went_back["generation"], went_back["restarted"]) == (first, True)
        assert service.wait_event("session_restored", after=before, within_s=30).data["generation"] == first
        service.wait_event("ready", after=before)

    elsewhere = Service(tmp_path / "b", whatsapp.url)
    assert run(elsewhere.environ, "list")["generations"] == []
    imported = run(elsewhere.environ, "import", str(exported))
    with elsewhere as service:
        assert service.wait_event("session_restored").data["generation"] == imported["generation"]
        service.wait_event("ready")
        assert service.events("qr") == []
    assert run(elsewhere.environ, "delete", "--yes")["deleted"] >= 1
    after = run(elsewhere.environ, "list")
    assert (after["generations"], after["tombstone"]["cause"]) == ([], "session delete")
    assert list((elsewhere.data_dir / "store").rglob("*.tar.zst")) == []
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"PK\x03\x04 no zip")
    assert run(elsewhere.environ, "import", str(garbage), code=1)["error"]["code"] == "bad_archive"
