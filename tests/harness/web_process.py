"""The web process alone, beside a Redis of the test's."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.whatsapp_web import processes

from .ports import free_port
from .service import REPOSITORY
from .waiting import wait_until

SESSION, INSTANCE = "s1", "i1"
API_TOKEN, VIEW_TOKEN = "token-of-the-test", "viewer-of-the-test"


class WebProcess:
    """A context manager; listens on the same port over restarts."""

    def __init__(self, folder: Path, redis_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "web.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._environ = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")},
            "DATA_DIR": str(folder / "data"),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis_port),
            "PORT": str(self.port),
            "WHATSAPP_SESSION_ID": SESSION,
            "INSTANCE_ID": INSTANCE,
            "API_TOKEN": API_TOKEN,
            "VIEW_TOKEN": VIEW_TOKEN,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = processes.start(
                [sys.executable, "-m", "web"], cwd=str(REPOSITORY), stdout=log, stderr=log, env=self._environ
            )
        wait_until(self._answers, 60, "the web process answers", every_s=0.1)

    def stop(self) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        processes.stop(process)

    def read(self, path: str, token: str, until: str) -> str:
        """An answer up to the line that has this in it: a stream has no end."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {token}"})
        read = ""
        with urllib.request.urlopen(request, timeout=30) as answer:
            while until not in read:
                line = answer.readline().decode()
                assert line, f"it ended without {until!r}"
                read += line
        return read

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
