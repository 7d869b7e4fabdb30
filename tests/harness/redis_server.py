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


class PortTaken(Exception):
    """By whoever listens on it now."""


class RedisServer:
    """A context manager; keeps its data in `folder` over restarts."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self._is_port_given = port is not None
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
        for _ in range(5):
            try:
                self.start()
                return self
            except PortTaken:
                if self._is_port_given:
                    raise
                self.port = free_port()
        raise PortTaken(f"also of others than {self.port}")

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            self.thaw()
            self.stop()

    def start(self) -> None:
        """Start it and wait until it answers. Raises PortTaken."""
        self._folder.mkdir(parents=True, exist_ok=True)
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        # By default Redis answers without having written where the disk is slow at the time, and loses that when it is
        # killed. This way the kernel has whatever was answered.
        kept = ["--appendonly", "yes", "--appendfsync", "no", "--save", ""]
        self._process = processes.start(
            ["redis-server", *arguments, *kept, "--loglevel", "warning"],
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: self._answers() or self._has_ended(), 60, "redis-server answers")
        if self._has_ended():
            self._process = None
            raise PortTaken(f"redis-server ended at once: somebody has port {self.port}")

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

    def _answers(self) -> bool:
        """This one, not whoever came to have its port between the choice and now."""
        assert self._process is not None
        with self.client() as client:
            try:
                info: Any = client.info("server")
                return bool(client.ping() and info["process_id"] == self._process.pid)
            except redis.exceptions.RedisError:
                return False

    def _has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None
