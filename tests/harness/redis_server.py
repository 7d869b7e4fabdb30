"""A real redis-server on a free port, which a test may kill, freeze and start again."""

import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.whatsapp_web import processes
from whatsapp_contract.redis_connection import connect

from .ports import free_port
from .waiting import wait_until


class RedisServer:
    """A context manager; keeps its data in `folder` over restarts."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def settings(self) -> dict[str, str]:
        """The variables that lead a service to it."""
        return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.port)}

    def client(self) -> "redis.Redis":
        """As the product's own, decoding responses."""
        return connect(self.url)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            self.thaw()
            self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        self._process = processes.start(
            ["redis-server", *arguments, "--appendonly", "yes", "--save", "", "--loglevel", "warning"],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, 30, "redis-server answers")

    def stop(self) -> None:
        """End it cleanly."""
        assert self._process is not None
        processes.stop(self._process)
        self._process = None

    def kill(self) -> None:
        """End it at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Let it neither answer nor close its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End freeze."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> Any:
        with self.client() as client:
            try:
                return client.ping()
            except redis.exceptions.RedisError:
                return False
