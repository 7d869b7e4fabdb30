"""A witness of one fault: every event, every incident and every verdict of the status, each with the time it was seen.

It reads as a backend does, and goes on over an outage of Redis; a Redis that comes back empty takes nothing from it.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import redis

from tests.harness.service import SESSION, Service
from whatsapp_contract.client import event_from_entry
from whatsapp_contract.events import Event
from whatsapp_contract.incidents import Incident
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect

LOOKS_EVERY_S = 0.05
_TOLD = ("how", "what", "reason", "cause", "code", "state")


@dataclass(frozen=True)
class Seen:
    """`at` by this machine's monotonic clock."""

    at: float
    text: str


class Witness:
    """A context manager. `seen` has what was told, in words such as `disconnected link_silent`."""

    def __init__(self, service: Service) -> None:
        self.seen: list[Seen] = []
        self.messages: Counter[str] = Counter()
        self.events: list[Event] = []
        self.incidents: dict[str, Incident] = {}
        self._redis = connect(f"redis://127.0.0.1:{service.redis_port}/0")
        self._names = SessionNames(SESSION)
        self._client = service.client
        self._last_id = "-"
        self._status = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join(30)
        self._redis.close()

    def since(self, moment: float) -> list[Seen]:
        """What was seen since then."""
        return [seen for seen in list(self.seen) if seen.at >= moment]

    def first(self, words: str, since: float) -> Seen | None:
        """When something that has these words was first seen."""
        return next((seen for seen in self.since(since) if words in seen.text), None)

    def as_text(self) -> str:
        """Line by line, for whoever looks into a failure."""
        return "\n".join(f"{seen.at:.2f} {seen.text}" for seen in self.seen)

    def _watch(self) -> None:
        while not self._over.wait(LOOKS_EVERY_S):
            try:
                self._read_events()
                self._read_incidents()
                self._read_status()
            except (redis.exceptions.RedisError, OSError, ValueError):
                continue

    def _read_events(self) -> None:
        start = self._last_id if self._last_id == "-" else f"({self._last_id}"
        entries: Any = self._redis.xrange(self._names.events, start)
        for entry_id, fields in entries:
            event = event_from_entry(entry_id, fields)
            self._last_id = entry_id
            self.events.append(event)
            if event.type == "message":
                self.messages[event.data["key"]] += 1
            else:
                told = (str(event.data[name]) for name in _TOLD if event.data.get(name) is not None)
                self._note(f"{event.type} {' '.join(told)}")

    def _read_incidents(self) -> None:
        kept: Any = self._redis.hgetall(self._names.incidents)
        for incident_id, text in kept.items():
            incident = Incident.model_validate(json.loads(text))
            if incident_id not in self.incidents:
                self._note(f"incident {incident.verdict}: {incident.reason}")
            self.incidents[incident_id] = incident

    def _read_status(self) -> None:
        status: Any = self._redis.hmget(self._names.status, "state", "verdict", "verdict_reason")
        text = f"status {status[0]} {status[1]}: {status[2]}"
        if text != self._status:
            self._status = text
            self._note(text)

    def _note(self, text: str) -> None:
        self.seen.append(Seen(time.monotonic(), text))
