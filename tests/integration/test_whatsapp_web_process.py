"""The stand-in as a process: it says its port, ends cleanly, and outlives nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from tests.whatsapp_web.browser import Page
from tests.whatsapp_web.client import WhatsAppWeb, WhatsAppWebError
from tests.whatsapp_web.server_process import REPOSITORY
from tests.whatsapp_web.wajs import load

pytest_plugins = ["tests.whatsapp_web.fixtures"]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(whatsapp: WhatsAppWeb) -> int:
    return int(whatsapp.url.rsplit(":", 1)[1].strip("/"))


def test_it_ends_cleanly_when_asked_even_with_a_page_open(page: Page) -> None:
    whatsapp = WhatsAppWeb()
    whatsapp.start()
    load(page, whatsapp)
    assert whatsapp.connections()["open"] == 1

    begun = time.monotonic()
    assert whatsapp.stop() == 0
    assert time.monotonic() - begun < 5
    assert not listens(port_of(whatsapp))


def test_it_ends_with_the_process_that_started_it() -> None:
    script = (
        "from tests.whatsapp_web.client import WhatsAppWeb\n"
        "whatsapp = WhatsAppWeb(); whatsapp.start(); print(whatsapp.url, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        port = int(starter.stdout.readline().rsplit(b":", 1)[1].strip(b"/\n"))
        assert listens(port)
        os.kill(starter.pid, signal.SIGKILL)

    deadline = time.monotonic() + 20
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not listens(port)


def test_options_are_flags_too_and_a_wrong_one_is_an_error() -> None:
    with WhatsAppWeb(vocabulary="legacy", boot_ms=5, author_lid=True, lid_mapping=False, hide=["A", "B"]) as whatsapp:
        options = whatsapp.state()["options"]
        assert (options["vocabulary"], options["boot_ms"], options["author_lid"], options["lid_mapping"]) == (
            "legacy", 5, True, False,
        )  # fmt: skip
        assert options["hide"] == ["A", "B"]
        with pytest.raises(WhatsAppWebError, match="colour"):
            whatsapp.set_options(colour="green")
        with pytest.raises(WhatsAppWebError, match="vocabulary"):
            whatsapp.set_options(vocabulary="klingon")
        whatsapp.set_options(boot_ms=7)
        whatsapp.reset()
        assert whatsapp.state()["options"]["boot_ms"] == 5
    with pytest.raises(TypeError):
        WhatsAppWeb(colour="green")


def test_the_page_has_a_policy_of_the_real_ones_shape() -> None:
    with WhatsAppWeb() as whatsapp, urlopen(whatsapp.url, timeout=20) as page:
        policy = page.headers["Content-Security-Policy"]
    assert "'nonce-" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert "connect-src 'self' ws://127.0.0.1:" in policy
