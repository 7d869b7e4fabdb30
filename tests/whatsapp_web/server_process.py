"""The stand-in's server as a process of its own."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.whatsapp_web import processes
from tests.whatsapp_web.control_client import WhatsAppWebError
from tests.whatsapp_web.options import Options, as_flags

REPOSITORY = Path(__file__).parents[2]
START_DEADLINE_S = 60.0


class ServerProcess:
    """`python -m tests.whatsapp_web`, from the start to a clean end."""

    def __init__(self, port: int, options: dict[str, Any]) -> None:
        Options().changed(**options)  # a wrong name fails here, not in the process
        self.port = port
        self._flags = as_flags(options)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and learn its port."""
        self._process = processes.start(
            [sys.executable, "-m", "tests.whatsapp_web", "--port", str(self.port), *self._flags],
            cwd=str(REPOSITORY),
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        said_something, _, _ = select.select([self._process.stdout], [], [], START_DEADLINE_S)
        line = self._process.stdout.readline() if said_something else b""
        if not line:
            raise WhatsAppWebError(f"the server did not listen; it ended with status {self.stop()}")
        self.port = json.loads(line)["port"]

    def stop(self) -> int:
        """End it; its exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        status = processes.stop(self._process)
        self._process.stdout.close()
        return status
