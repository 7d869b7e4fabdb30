"""The web process of its own on a real Redis, as supervisord starts it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.whatsapp_web import processes
from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

from .ports import free_port
from .redis_server import RedisServer
from .waiting import wait_until

SESSION, INSTANCE = "s1", "i1"
API_TOKEN, VIEW_TOKEN = "api-token-of-the-test", "view-token-of-the-test"


def ready_status() -> Status:
    """Of a session that is ready, and stays so for a year without anybody's renewing it."""
    now = datetime.now(UTC)
    later = now + timedelta(days=365)
    return Status(
        session_id=SESSION,
        instance=INSTANCE,
        pid=1,
        epoch=1,
        started_at=now,
        heartbeat_at=later,
        state=SessionState.READY,
        since=now,
        verdict=Verdict.HEALTHY,
        verdict_reason="ready",
        browser_seen_at=later,
        page_seen_at=later,
    )


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Its status and code, from a document that is whole."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    told = answer.json()
    assert set(told) == {"type", "title", "status", "code", "detail", "retryable"}
    assert told["status"] == answer.status_code
    return told["status"], told["code"]


class WebProcess:
    """A context manager. `variables` come on top of those that it needs."""

    def __init__(self, redis: RedisServer, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "WHATSAPP_SESSION_ID": SESSION,
            "INSTANCE_ID": INSTANCE,
            "DATA_DIR": str(folder),
            "API_TOKEN": API_TOKEN,
            "VIEW_TOKEN": VIEW_TOKEN,
            "PORT": str(self.port),
            **redis.settings(),
            **variables,
        }
        self.log_file = folder / "web.log"
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, token: str | None = API_TOKEN, **options: object) -> httpx.Client:
        """With the token as bearer, unless that is None."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **options)  # type: ignore[arg-type]

    def read(self, path: str, token: str, until: str) -> str:
        """An answer up to the line that has this in it: a stream has no end."""
        read = ""
        with self.client(token) as client, client.stream("GET", path) as answer:
            for line in answer.iter_lines():
                read += line + "\n"
                if until in line:
                    return read
        raise AssertionError(f"it ended without {until!r}")

    def __enter__(self) -> Self:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log_file.open("ab") as log:
            self.process = processes.start([sys.executable, "-m", "web"], env=self.environ, stdout=log, stderr=log)
        wait_until(self._answers, 90, "the web process answers")

    def stop(self) -> int:
        """End it as supervisord does; its status."""
        return processes.stop(self.process, 10)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5, trust_env=False).status_code in (200, 503)
        except httpx.TransportError:
            return False
