"""A session that the real whatsapp-web.js linked, and the real wwebjs-aws-s3 stored, lives on in our browser."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browser_agent.session.remote_auth import candidate_keys, extract, is_remote_auth
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.s3_server import S3Server
from tests.harness.waiting import wait_until
from tests.harness.whatsapp_web_js import SYNC_MS, JsClient, node_with_packages
from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.devtools import DevTools
from tests.whatsapp_web.people import ME
from tests.whatsapp_web.wajs import USABLE, bundle, heard

CLIENT_ID, REMOTE_PATH = "shula", "whatsapp/sessions/"
KEPT = {"IndexedDB", "Local Storage"}


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    """One for both clients: the session belongs to its address."""
    with WhatsAppWeb(sync_ms=SYNC_MS) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def backup(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a client that was linked and ended left in the bucket, found as the import finds it."""
    data = tmp_path_factory.mktemp("wwebjs")
    with S3Server() as s3:
        # Past the proxy, which knows no bodies in chunks: the client streams its zip.
        place = {"endpoint": s3.direct_url, "bucket": s3.bucket, "remotePath": REMOTE_PATH, "clientId": CLIENT_ID}
        keys = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), s3.admin_keys, strict=True))
        client = JsClient(node_with_packages(), whatsapp.url, data, place, keys)
        try:
            whatsapp.scan(client.next("qr"))
            client.next("ready")
            # localStorage reaches the disk seconds later; the client waits a minute before its first backup.
            storage = data / f"RemoteAuth-{CLIENT_ID}/Default/Local Storage/leveldb"
            wait_until(lambda: contains(storage, b"last-wid-md"), 70, "localStorage is on the disk", every_s=0.1)
            client.call("backUp")
        finally:
            client.close()
        stored = s3.keys()
        found = [key for key in candidate_keys(CLIENT_ID, REMOTE_PATH, str(data)) if key in stored]
        assert found == stored
        return s3.get(found[0])


def contains(folder: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in folder.glob("*.log"))


async def test_it_is_ready_in_our_browser_without_a_scan(backup: bytes, whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    assert is_remote_auth(io.BytesIO(backup))
    (tmp_path / "backup.zip").write_bytes(backup)
    extract(tmp_path / "backup.zip", tmp_path / "session")

    profile = tmp_path / "session/profile"
    assert {kept.name for kept in (profile / "Default").iterdir()} == KEPT
    assert not list(profile.rglob("LOCK"))
    assert whatsapp.connections()["logged_in"] == 0
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        await asyncio.to_thread(log_in, chromium.endpoint, whatsapp)


def log_in(endpoint: str, whatsapp: WhatsAppWeb) -> None:
    """Open the page, which must find itself linked."""
    with DevTools(endpoint) as browser:
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        with DevTools(f"ws://{urlsplit(endpoint).netloc}/devtools/page/{target}") as devtools:
            page = Page(devtools)
            devtools.call("Page.addScriptToEvaluateOnNewDocument", source=bundle())
            page.goto(whatsapp.url)
            page.until(f"window.WPP && WPP.isFullReady && {USABLE}")
            assert page.evaluate("WPP.conn.getMyUserId().toString()") == ME.phone
            assert heard(page, "conn.require_auth") == []
            assert not any(heard(page, "conn.auth_code_change"))  # with null wa-js tells that there is no code
            assert whatsapp.connections()["logged_in"] == 1
