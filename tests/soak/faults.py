"""The faults of a soak, each from outside, as it happens to a service that runs for months."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable

import psutil
import redis

from tests.harness.s3_proxy import Status
from tests.harness.s3_server import S3Server
from tests.harness.service import Service
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.errors import ContractError
from workers.process_control import SupervisorUnavailable


class Faults:
    """Each method is one; it returns when the fault is over, though what it did may go on for long."""

    def __init__(self, service: Service, whatsapp: WhatsAppWeb, store: S3Server, chance: random.Random) -> None:
        self._service = service
        self._whatsapp = whatsapp
        self._store = store
        self._random = chance
        self._healing: list[threading.Timer] = []

    def cause(self, kind: str) -> None:
        """By its name."""
        fault: Callable[[], None] = getattr(self, kind)
        with contextlib.suppress(ContractError, redis.exceptions.RedisError, SupervisorUnavailable, psutil.Error):
            fault()

    def heal(self) -> None:
        """Nothing is wrong any more from here on."""
        for timer in self._healing:
            timer.cancel()
        self._whatsapp.restore()
        self._store.faults.clear()

    def kill_agent(self) -> None:
        self._signal("browser-agent", signal.SIGKILL)

    def freeze_agent_and_kill(self) -> None:
        """What the page tells meanwhile is lost with it."""
        self._signal("browser-agent", signal.SIGSTOP)
        time.sleep(self._random.uniform(0.5, 2))
        self._signal("browser-agent", signal.SIGKILL)

    def kill_browser(self) -> None:
        for process in self._service.browser_processes()[:1]:
            process.kill()

    def reload_page(self) -> None:
        self._service.client.call("reload", {"cause": "soak"})

    def drop_link(self) -> None:
        self._whatsapp.drop(refuse_s=self._random.uniform(0.2, 3))

    def half_open_link(self) -> None:
        self._whatsapp.half_open()

    def restart_redis(self) -> None:
        self._service.control.restart("redis")

    def kill_worker(self) -> None:
        self._signal("worker", signal.SIGKILL)

    def refuse_store(self) -> None:
        self._store.faults.add(Status(503, "SlowDown"))
        timer = threading.Timer(self._random.uniform(1, 8), self._store.faults.clear)
        self._healing.append(timer)
        timer.start()

    def _signal(self, program: str, sig: signal.Signals) -> None:
        pid = self._service.pids().get(program, 0)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
