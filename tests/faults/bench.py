"""What a fault is tried on: the whole supervised service, the stand-in, and a witness of both."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.harness.service import INSTANCE, SESSION, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.errors import ContractError
from whatsapp_contract.names import InstanceNames

from .witness import Witness

IS_FULL = os.environ.get("FAULTS") == "full"
CHECK_EVERY_S = 10.0 if IS_FULL else 2.0
# `make faults` leaves every interval as a user has it.
VARIABLES = {} if IS_FULL else {"HEALTH_CHECK_CRON": "*/2 * * * * *", "LINK_SILENCE_S": "4", "START_BUDGET": "1000"}
OPTIONS: dict[str, Any] = {} if IS_FULL else {"keepalive_s": 2, "reconnect_first_ms": 200}
# An agent of that age is judged as one that has been running for long.
AGENT_AGE_S = 22.0 if IS_FULL else 0.0


class Bench:
    """The service is linked and ready, and the watchdog at work. `keys` are those of the messages delivered."""

    def __init__(self, service: Service, whatsapp: WhatsAppWeb, witness: Witness) -> None:
        self.service = service
        self.whatsapp = whatsapp
        self.witness = witness
        self.keys: list[str] = []
        self.commands_expire = True  # whether this machine's clock is the service's
        self.act: dict[str, Callable[[], None]] = {}  # what the bench's surroundings can do: fill_disk, ...

    def link(self) -> None:
        """Scan the code, and wait until everything runs as it does for months."""
        self.whatsapp.scan(self.service.wait_event("qr", within_s=90).data["payload"])
        self.service.wait_event("ready", within_s=90)
        wait_until(self._all_run, 90, "worker and scheduler run")
        time.sleep(max(0.0, AGENT_AGE_S - self.service.program("browser-agent").running_s))
        wait_until(self.is_ready, 60, "ready")
        wait_until(self._is_watched, 60, "the watchdog has seen that it is ready")

    def deliver(self, text: str) -> str:
        """A message to the account's group; its key."""
        key = self.whatsapp.deliver_text(text)
        self.keys.append(key)
        return key

    def is_ready(self) -> bool:
        """Whether the status says so and the agent answers a command."""
        try:
            status = self.service.client.status()
            if status is None or (status.state, status.verdict) != ("ready", "healthy"):
                return False
            if self.commands_expire:
                self.service.client.ping(reply_within_s=2.0)
        except (redis.exceptions.RedisError, ContractError, OSError, ValueError):
            return False
        return True

    def pid(self, program: str) -> int:
        """Of a program of supervisord's."""
        return self.service.program(program).pid

    def browser_pid(self) -> int:
        pid = self.service.status().browser_pid
        assert pid is not None
        return pid

    def browser_parts(self, argument: str) -> list[psutil.Process]:
        """The browser's processes that have this argument: `--type=renderer`."""
        found = []
        for process in self.service.browser_processes():
            with contextlib.suppress(psutil.Error):
                if argument in process.cmdline():
                    found.append(process)
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything of the service, supervisord first."""
        return list({process.pid: process for process in self._tree()}.values())

    def devtools_port(self) -> int:
        """The browser's own."""
        file = Path(self.service.data_dir, "sessions", "test-session", "profile", "DevToolsActivePort")
        return int(file.read_text().split()[0])

    def _tree(self) -> list[psutil.Process]:
        supervisord = psutil.Process(self.service.pid)
        return [supervisord, *supervisord.children(recursive=True), *self.service.browser_processes()]

    def watched_at(self) -> float | None:
        """When the watchdog last looked at the agent, by the machine's own clock."""
        watched_at: float | None = self._watchdog().get("watched_at")
        return watched_at

    def _is_watched(self) -> bool:
        return self._watchdog().get("ready_since") is not None

    def _watchdog(self) -> dict[str, Any]:
        kept: Any = self.service.redis.get(InstanceNames(SESSION, INSTANCE).ladder)
        return json.loads(kept) if kept is not None else {}

    def _all_run(self) -> bool:
        names = ("scheduler", "worker", "browser-agent")
        return all(self.service.program(name).name == "RUNNING" for name in names)
