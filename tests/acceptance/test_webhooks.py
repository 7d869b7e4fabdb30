"""A webhook, from the phone's message to the backend's server, with the whole service between."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from cli.checks.service import judge_programs
from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.harness.webhook_receiver import receiving
from tests.whatsapp_web.client import WhatsAppWeb

SECRET = "a-secret-of-the-test"


def test_a_message_becomes_a_post_also_when_the_program_was_killed(tmp_path: Path) -> None:
    with receiving() as receiver, WhatsAppWeb(keepalive_s=2) as whatsapp:
        url = f"{receiver.url}?key=t0ken"
        variables = {"WEBHOOK_URL": url, "WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1"}
        with Service(tmp_path, whatsapp.url, **variables) as service:
            whatsapp.scan(service.wait_event("qr", within_s=90).data["payload"])
            service.wait_event("ready", within_s=90)
            wait_until(lambda: service.program("webhooks").pid, 90, "it runs")
            wait_until(lambda: "webhooks started" in service.log(), 90, "it says that it has started")
            early = next(entry for entry, kind in _told(service) if kind != "qr")
            posted = "also what was told before that"
            wait_until(lambda: early in {post.event["id"] for post in receiver.taken()}, 90, posted)

            def deliver() -> str:
                key = whatsapp.deliver_text("Where are the photos?")
                wait_until(lambda: key in keys(), 90, "it is posted")
                return key

            def keys() -> list[str]:
                return [post.event["data"].get("key") for post in receiver.taken() if post.event["type"] == "message"]

            first = deliver()
            pid = service.program("webhooks").pid
            os.kill(pid, signal.SIGKILL)
            second = deliver()
            # What was posted when it was killed, and not acknowledged yet, comes again.
            assert list(dict.fromkeys(keys())) == [first, second]
            told = service.events("message")
            by_id = {post.headers["webhook-id"]: post.event for post in receiver.taken()}
            messages = [event for event in by_id.values() if event["type"] == "message"]
            assert [json.loads(event.model_dump_json())["data"] for event in told] == [
                event["data"] for event in messages
            ]
            assert "qr" not in {post.event["type"] for post in receiver.posts}
            assert all(post.headers["webhook-signature"].startswith("v1,") for post in receiver.posts)
            wait_until(lambda: service.program("webhooks").name == "RUNNING", 90, "it counts as running")
            states = {name: service.program(name).name for name in service.control.programs()}
            assert judge_programs({**states, "redis": "STOPPED"}, posts=True).advice is None
            log = service.log()
            assert service.stop() == 0
    for secret in ("t0ken", SECRET, "photos?"):
        assert secret not in log


def _told(service: Service) -> list[tuple[str, str]]:
    """Ids and types of all events."""
    found: Any = service.redis.xrange(service.client.names.events)
    return [(entry, json.loads(fields["event"])["type"]) for entry, fields in found]
