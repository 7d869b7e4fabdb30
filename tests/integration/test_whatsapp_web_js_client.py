"""The real whatsapp-web.js, the npm client this service replaces, runs on the stand-in."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.whatsapp_web import processes
from tests.whatsapp_web.browser import chromium
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY
from tests.whatsapp_web.server_process import REPOSITORY

PACKAGE = REPOSITORY / "tests/whatsapp_web_js"
PHOTO = bytes(range(256)) * 64


def installed_version(lock: Path) -> str | None:
    """The whatsapp-web.js that a lock file, npm's own of an installation included, names."""
    if not lock.exists():
        return None
    version: str = json.loads(lock.read_text())["packages"]["node_modules/whatsapp-web.js"]["version"]
    return version


@pytest.fixture(scope="session")
def node() -> str:
    """Node with whatsapp-web.js installed from its lock file."""
    found = {program: shutil.which(program) for program in ("node", "npm")}
    for program, path in found.items():
        if path is None:
            pytest.fail(f"{program} is missing: install Node.js 18 or later with npm (Debian: apt install nodejs npm)")
    # npm writes this one last.
    if installed_version(PACKAGE / "node_modules/.package-lock.json") != installed_version(
        PACKAGE / "package-lock.json"
    ):
        install = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-progress"],
            cwd=PACKAGE,
            env={**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if install.returncode != 0:
            pytest.fail(f"npm ci in {PACKAGE} failed:\n{install.stderr}")
    assert found["node"] is not None
    return found["node"]


class JsClient:
    """whatsapp-web.js in a process of its own; what it says is kept."""

    def __init__(self, node: str, url: str, data: Path) -> None:
        self.said: list[list[Any]] = []
        self._buffer = b""
        self._process = processes.start(
            [node, "run_client.js", url, chromium(), str(data)],
            cwd=str(PACKAGE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def next(self, event: str, timeout_s: float = 30.0) -> Any:
        """The detail of the next such event; errors of the client fail the test."""
        deadline = time.monotonic() + timeout_s
        while (remaining := deadline - time.monotonic()) > 0:
            for index, (name, *details) in enumerate(self.said):
                assert name != "error", details[0]
                if name == event:
                    del self.said[index]
                    return details[0] if details else None
            self._read(remaining)
        raise AssertionError(f"no {event} within {timeout_s} s, but {self.said}")

    def call(self, method: str, *args: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, *args]).encode() + b"\n")
        self._process.stdin.flush()
        return self.next("answer")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            processes.stop(self._process)
        self._process.stdout.close()

    def _read(self, timeout_s: float) -> None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        assert data, f"the client ended with status {self._process.wait(5)}"
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self.said += [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb() as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def client(node: str, whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JsClient]:
    """The client, linked with the code that it reported."""
    client = JsClient(node, whatsapp.url, tmp_path_factory.mktemp("wwebjs"))
    try:
        whatsapp.scan(client.next("qr"))
        client.next("authenticated")
        client.next("ready")
        yield client
    finally:
        client.close()


def test_it_is_linked_and_connected(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    assert client.call("getState") == "CONNECTED"
    assert whatsapp.connections()["logged_in"] == 1
    assert client.call("getChats") == [[ANNA.phone, ANNA.name, False], [FAMILY.id, FAMILY.subject, True]]


def test_it_gets_messages_and_photos(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    text = whatsapp.deliver_text("Hello", author=BRUNO.phone)
    assert client.next("message") == {
        "key": text, "chat": FAMILY.id, "author": BRUNO.phone, "text": "Hello", "media": None,
    }  # fmt: skip
    photo = whatsapp.deliver_photo(PHOTO, caption="Us")
    message = client.next("message")
    assert (message["key"], message["text"]) == (photo, "Us")
    assert base64.b64decode(message["media"]) == PHOTO


def test_it_sends_messages(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    key = client.call("sendMessage", FAMILY.id, "Hello from the client")

    assert [(sent["id"], sent["body"]) for sent in whatsapp.outbox()] == [(key, "Hello from the client")]


def test_reset_state_cures_a_half_open_link(client: JsClient, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open()
    key = whatsapp.deliver_text("Are you there?")
    assert client.call("getState") == "CONNECTED"

    client.said.clear()
    client.call("resetState")
    assert [client.next("change_state") for _ in range(3)] == ["OPENING", "PAIRING", "CONNECTED"]
    assert client.next("message")["key"] == key
