"""A backend as a user writes it: follows the stream in a group, drops repeats by key, sends with idempotency keys."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from typing import Any

import redis

from tests.harness.waiting import wait_until
from whatsapp_contract.client import AgentClient, AsyncAgentClient
from whatsapp_contract.errors import ContractError
from whatsapp_contract.events import Event
from whatsapp_contract.redis_connection import connect, connect_async


class Backend:
    """A context manager. What it has seen: `messages` and `media` by key, `acks` by idempotency key."""

    def __init__(self, url: str, session_id: str) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.media: dict[str, dict[str, Any]] = {}
        self.acks: dict[str, set[str]] = {}
        self.repeats: Counter[str] = Counter()
        self.alerts: list[dict[str, Any]] = []
        self._url, self._session_id = url, session_id
        self._calling = AgentClient(connect(url), session_id)
        self._over = threading.Event()
        self._sending: list[threading.Thread] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Backend:
        self._thread.start()
        self._following = asyncio.run_coroutine_threadsafe(self._follow(), self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.2), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in (self._thread, *self._sending):
            thread.join(15)
        self._loop.close()
        self._calling.redis.close()

    def send(self, idempotency_key: str, command: str, args: dict[str, Any]) -> None:
        """Until it is accepted, as a backend that needs it sent."""
        thread = threading.Thread(target=self._send, args=(idempotency_key, command, args), daemon=True)
        self._sending.append(thread)
        thread.start()

    def _send(self, idempotency_key: str, command: str, args: dict[str, Any]) -> None:
        def accepted() -> bool:
            if self._over.is_set():
                return True
            try:
                self._calling.call(command, {"idempotency_key": idempotency_key, **args})
            except (ContractError, redis.exceptions.RedisError, OSError):
                return False
            return True

        wait_until(accepted, 240, f"{command} is accepted", every_s=0.5)

    async def _follow(self) -> None:
        async with connect_async(self._url) as client:
            async for event in AsyncAgentClient(client, self._session_id).follow(group="soak", consumer="one"):
                self._take(event)

    def _take(self, event: Event) -> None:
        data = event.data
        if event.type == "message":
            self.repeats[data["key"]] += data["key"] in self.messages
            self.messages.setdefault(data["key"], data)
        elif event.type == "media":
            self.media[data["key"]] = data
        elif event.type == "message_ack":
            self.acks.setdefault(data["idempotency_key"], set()).add(data["ack"])
        elif event.type == "alert":
            self.alerts.append(data)
