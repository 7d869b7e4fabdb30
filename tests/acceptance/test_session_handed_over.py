"""A session that goes from one installation to another: outrun, taken over, by hand."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_agent.session.remote_auth import candidate_keys, extract, is_remote_auth
from tests.harness.redis_server import RedisServer
from tests.harness.s3_server import S3Server
from tests.harness.service import AROUND, COMMAND, REPOSITORY, Service
from tests.harness.waiting import wait_until
from tests.harness.whatsapp_web_js import SYNC_MS, JsClient, node_with_packages
from tests.whatsapp_web.client import WhatsAppWeb

REMOTE_PATH = "whatsapp/sessions/"
POINTER = "sessions/test-session/pointer.json"


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
        timeout=90,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def listed(environ: dict[str, str]) -> list[str]:
    """The generations' ids, newest first."""
    return [str(each["id"]) for each in run(environ, "list")["generations"]]


def scanned(service: Service, whatsapp: WhatsAppWeb) -> str:
    """Ready for the first time; the id of that event."""
    whatsapp.scan(service.wait_event("qr").data["payload"])
    return str(service.wait_event("ready").id)


def pointer(s3: S3Server) -> Any:
    return json.loads(s3.get(POINTER))


def test_an_agent_that_was_outrun_in_the_store_closes_its_browser_and_saves_no_more(
    whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path
) -> None:
    """Two containers with a Redis each: only the bucket can keep them apart."""
    with Service(tmp_path / "a", whatsapp.url, without=AROUND, **s3.settings()) as first:
        scanned(first, whatsapp)
        first.client.call("backup")
        with (
            RedisServer(tmp_path / "redis") as redis,
            Service(tmp_path / "b", whatsapp.url, without=AROUND, **redis.settings(), **s3.settings()) as second,
        ):
            second.wait_event("ready")
            taken = pointer(s3)["epoch"]
            first.redis.publish(first.client.names.commands, "backup")
            wait_until(lambda: first.browser_processes() == [], 60, "the outrun agent closed its browser")
            assert first.wait_event("alert").data["code"] == "outrun"
            check = first.client.check()
            assert (check.verdict, check.reason) == ("waiting_for_person", "outrun")
            assert pointer(s3)["epoch"] == taken
            newest = second.client.call("backup").model_dump()["generation"]
            assert pointer(s3)["generations"][0]["id"] == newest


def account_is_on_the_disk(data: Path) -> bool:
    logs = data.glob("RemoteAuth-shula/Default/Local Storage/leveldb/*.log")
    return any("last-wid".encode(coding) in log.read_bytes() for log in logs for coding in ("latin1", "utf-16-le"))


@pytest.mark.timeout(600)  # it may have to install what the client needs
def test_a_session_of_whatsapp_web_js_is_taken_over_without_a_scan(
    whatsapp: WhatsAppWeb, s3: S3Server, tmp_path: Path
) -> None:
    """The real whatsapp-web.js logs in and backs up by wwebjs-aws-s3; then it is stopped, and we go on."""
    node, old_data = node_with_packages(), tmp_path / "old"
    old_data.mkdir()
    # Past the proxy, which knows no bodies in chunks: the client streams its zip.
    place = {"endpoint": s3.direct_url, "bucket": s3.bucket, "remotePath": REMOTE_PATH, "clientId": "shula"}
    access_key, secret_key = s3.admin_keys
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    whatsapp.set_options(sync_ms=SYNC_MS)
    client = JsClient(node, whatsapp.url, old_data, place, keys)
    try:
        whatsapp.scan(client.next("qr"))
        client.next("ready")
        # whatsapp-web.js waits a minute before its first backup: until then localStorage may not be on the disk.
        wait_until(lambda: account_is_on_the_disk(old_data), 120, "localStorage is on the disk", every_s=0.2)
        client.call("backUp")
    finally:
        client.close()
    (stored,) = s3.keys()
    assert stored in candidate_keys("shula", REMOTE_PATH, str(old_data))
    backup = s3.get(stored)
    assert is_remote_auth(io.BytesIO(backup))
    (tmp_path / "backup.zip").write_bytes(backup)
    extract(tmp_path / "backup.zip", tmp_path / "session")
    assert {kept.name for kept in (tmp_path / "session/profile/Default").iterdir()} == {"IndexedDB", "Local Storage"}
    assert not list((tmp_path / "session").rglob("LOCK"))

    service = Service(tmp_path / "new", whatsapp.url, without=AROUND, **s3.settings())
    imported = run(service.environ, "import", "--from-store", "--client-id", "shula", "--remote-path", REMOTE_PATH)
    with service:
        restored = service.wait_event("session_restored")
        assert restored.data["generation"] == imported["generation"]
        service.wait_event("ready")
        assert service.events("qr") == []
        key = whatsapp.deliver_text("to the new service")
        service.wait_event("message", where=lambda data: data["key"] == key)
    assert s3.get(stored) == backup


def test_the_cli_lists_verifies_exports_imports_goes_back_and_deletes(whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    with Service(tmp_path / "a", whatsapp.url, without=("web",)) as service:
        ready = scanned(service, whatsapp)
        first = run(service.environ, "backup")["generation"]
        whatsapp.deliver_text("something new")
        service.wait_event("message", after=ready)
        second = run(service.environ, "backup")["generation"]
        assert [each for each in listed(service.environ) if each in (first, second)] == [second, first]
        verified, ids = run(service.environ, "verify")["generation"], listed(service.environ)
        assert verified in ids[: ids.index(second) + 1], "the newest; the agent saves a minute after it was ready, too"
        assert run(service.environ, "delete", "--yes", code=1)["error"]["code"] == "running"
        assert run(service.environ, "verify", "--generation", "none", code=1)["error"]["code"] == "not_found"

        exported = tmp_path / "exported.tar.zst"
        assert run(service.environ, "export", str(exported), "--generation", first)["generation"] == first
        assert exported.stat().st_mode & 0o777 == 0o600
        assert run(service.environ, "export", str(exported), code=1)["error"]["code"] == "exists"

        before = service.last_event_id()
        went_back = run(service.environ, "restore", "--generation", first, "--yes")
        assert (went_back["generation"], went_back["restarted"]) == (first, True)
        assert service.wait_event("session_restored", after=before).data["generation"] == first
        service.wait_event("ready", after=before)

    elsewhere = Service(tmp_path / "b", whatsapp.url, without=AROUND)
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
