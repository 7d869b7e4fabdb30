"""The real whatsapp-web.js, the npm client this service replaces: installed, and run in a process of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.npm_packages import NotInstalled, install
from tests.whatsapp_web import processes
from tests.whatsapp_web.browser import chromium
from tests.whatsapp_web.server_process import REPOSITORY

PACKAGE = REPOSITORY / "tests/whatsapp_web_js"

# The client tells of the code before it listens for what follows; a person takes longer to scan than these tests. So
# the stand-in's page gets this as its `sync_ms`.
SYNC_MS = 3000


def node_with_packages() -> str:
    """Node, with what the client needs installed from its lock file."""
    found = {program: shutil.which(program) for program in ("node", "npm")}
    for program, path in found.items():
        if path is None:
            pytest.fail(f"{program} is missing: install Node.js 18 or later with npm (Debian: apt install nodejs npm)")
    assert found["node"] is not None
    assert found["npm"] is not None
    try:
        install(PACKAGE, found["npm"], {"PUPPETEER_SKIP_DOWNLOAD": "1"})
    except NotInstalled as error:
        pytest.fail(str(error))
    return found["node"]


class JsClient:
    """whatsapp-web.js in a process of its own; what it says is kept.

    With `s3`, a place for run_client.js, it keeps its session there by RemoteAuth and wwebjs-aws-s3.
    """

    def __init__(
        self,
        node: str,
        url: str,
        data: Path,
        s3: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.said: list[list[Any]] = []
        self._buffer = b""
        self._process = processes.start(
            [node, "run_client.js", url, chromium(), str(data), *([json.dumps(dict(s3))] if s3 else [])],
            cwd=str(PACKAGE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )

    def next(self, event: str, timeout_s: float = 60.0) -> Any:
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
