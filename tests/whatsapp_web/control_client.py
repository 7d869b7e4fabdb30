"""Calls of the stand-in's control API, and the errors they raise."""

from __future__ import annotations

import http.client
import json
from typing import Any

OK = 200
DEADLINE_S = 60.0


class WhatsAppWebError(Exception):
    """The stand-in did not do what was asked; the message says why."""


class PhoneRefused(WhatsAppWebError):
    """The phone did not link the browser: a wrong or expired code, or a page that does not answer."""


class NoPageAnswered(WhatsAppWebError):
    """No open page ran what was asked of it."""


class ControlClient:
    """The control API on a port of the loopback; one HTTP connection per call."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, call: str, **arguments: Any) -> Any:
        """Run a call by name."""
        return self.post(f"/control/{call}", json.dumps(arguments).encode())

    def post(self, path: str, body: bytes) -> Any:
        """POST a body; the result in the answer."""
        return json.loads(self.request("POST", path, body))["result"]

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of an answer; any status but 200 is an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != OK:
            raise _error(answer)
        return answer


def _error(answer: bytes) -> WhatsAppWebError:
    try:
        problem = json.loads(answer)
    except ValueError:
        return WhatsAppWebError(answer.decode(errors="replace"))
    kinds = {"PhoneRefuses": PhoneRefused, "NoPageAnswered": NoPageAnswered}
    return kinds.get(problem.get("kind"), WhatsAppWebError)(problem["error"])
