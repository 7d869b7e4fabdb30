"""python -m demo: the whole service, a stand-in for WhatsApp Web, and what goes wrong in a session's life.

Everything is real but the far side: supervisord, Redis, Huey, Chromium and wa-js run as they do in production; the
page is tests/whatsapp_web. Only the time after which a link counts as silent is shortened (35 s to 10 s).
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import FAMILY
from whatsapp_contract import qr
from whatsapp_contract.events import Event
from whatsapp_contract.incidents import Incident
from workers.incidents import IncidentLog

LINK_SILENCE_S = 10
PHOTO = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c626001000000ffff030000060005"
    "57bfabd40000000049454e44ae426082"
)


class Narrator:
    """Says what happens, with the time since the beginning, and how long each step took."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._bold, self._dim, self._plain = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One thing that is done to the service, and how long it took to be what it should be again."""
        self._line(f"{self._bold}{what}{self._plain}")
        started = time.monotonic()
        yield
        self._line(f"  done in {time.monotonic() - started:.1f} s\n")

    def saw(self, what: str) -> None:
        self._line(f"  {what}")

    def event(self, event: Event) -> None:
        """An event, as a backend reads it from Redis."""
        data = {key: value for key, value in event.data.items() if value is not None and key != "payload"}
        self._line(f"  event {event.type:<13} {self._dim}{data}{self._plain}")

    def _line(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)  # noqa: T201  # its purpose


def main() -> int:
    say = Narrator()
    with (
        tempfile.TemporaryDirectory(prefix="whatsapp-demo-") as folder,
        WhatsAppWeb(keepalive_s=3) as whatsapp,
        Service(Path(folder), whatsapp.url, LINK_SILENCE_S=str(LINK_SILENCE_S)) as service,
    ):
        scan(say, service, whatsapp)
        receive(say, service, whatsapp)
        lose_the_link(say, service, whatsapp)
        freeze_the_agent(say, service, whatsapp)
        with say.step("docker stop: SIGTERM to the container's first process"):
            say.saw(f"exit status {service.stop()}, and nothing of Chromium is left")
    return 0


def scan(say: Narrator, service: Service, whatsapp: WhatsAppWeb) -> None:
    with say.step("The service starts: supervisord, Redis, agent, scheduler, worker, web"):
        shown = service.wait_event("qr")
        print(qr.as_text(shown.data["payload"]))  # noqa: T201  # as on the container's console
        say.event(shown)
    with say.step("The phone scans the code"):
        device = whatsapp.scan(shown.data["payload"])
        say.saw(f"the phone linked device {device}")
        say.event(service.wait_event("authenticated"))
        say.event(service.wait_event("ready"))


def receive(say: Narrator, service: Service, whatsapp: WhatsAppWeb) -> None:
    with say.step("Anna writes to the group, and sends a photo"):
        text = whatsapp.deliver_text("Who has the photos of yesterday?")
        photo = whatsapp.deliver_photo(PHOTO, "image/png", "Here they are", filename="beach.png", width=1, height=1)
        for key in (text, photo):
            say.event(service.wait_event("message", where=lambda data, key=key: data["key"] == key))  # type: ignore[misc]
        stored = service.wait_event("media", where=lambda data: data["key"] == photo)
        say.event(stored)
        say.saw(f"{len(PHOTO)} bytes, verified and stored")
    with say.step("The backend answers, with a key of its own; twice, to be sure"):
        answer = {"idempotency_key": "thanks-1", "chat_id": FAMILY.id, "text": "Thank you, Anna"}
        for _ in range(2):
            sent: Any = service.client.call("send_text", answer)
            say.saw(f"send_text: {sent.status}")
        say.event(service.wait_event("message_ack", where=lambda data: data["ack"] == "sent"))
        say.saw(f"in the chat {len(whatsapp.outbox())} time")


def lose_the_link(say: Narrator, service: Service, whatsapp: WhatsAppWeb) -> None:
    before = service.last_event_id()
    with say.step("The link dies silently: TCP stays open, the page still believes that it is connected"):
        whatsapp.half_open()
        missed = whatsapp.deliver_text("Does anybody hear me?")
        lost = service.wait_event("disconnected", after=before, within_s=60)
        say.saw(f"silent for {LINK_SILENCE_S} s; a query to the server stayed unanswered for 5 s")
        say.event(lost)
        say.event(service.wait_event("reset", after=before, within_s=60))
        say.event(service.wait_event("ready", after=before))
        say.event(service.wait_event("message", where=lambda data: data["key"] == missed))
        say.saw(_incident(service))


def _incident(service: Service) -> str:
    """The one that is just over, once the next check has found that it is: the next fault is another."""

    def ended() -> Incident | None:
        incidents = IncidentLog(service.redis, service.client.names).last(1)
        return incidents[0] if incidents and incidents[0].ended_at else None

    incident = wait_until(ended, 30, "the incident is over", every_s=0.5)
    assert incident is not None
    return f"incident {incident.id}: not ready for {incident.not_ready_s:.1f} s, cured by {incident.cured_by}"


def freeze_the_agent(say: Narrator, service: Service, whatsapp: WhatsAppWeb) -> None:
    before = service.last_event_id()
    with say.step("The agent is frozen (SIGSTOP): it listens, and never answers"):
        os.kill(service.program("browser-agent").pid, signal.SIGSTOP)
        restarted = service.wait_event("restarted", after=before, within_s=60)
        say.saw("two checks without an answer; the worker had supervisord kill it and start it again")
        say.event(restarted)
        say.event(service.wait_event("ready", after=before))
        say.saw("without a scan: the profile is the account")
        key = whatsapp.deliver_text("Welcome back")
        say.event(service.wait_event("message", where=lambda data: data["key"] == key))
        say.saw(_incident(service))


if __name__ == "__main__":
    sys.exit(main())
