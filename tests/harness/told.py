"""What a service has told of messages, and from when on."""

from typing import Any

from tests.whatsapp_web.client import WhatsAppWeb

from .service import Service
from .waiting import wait_until


def scan(service: Service, whatsapp: WhatsAppWeb) -> None:
    """Scanned and ready, and audited once: from now on all messages are to be told."""
    whatsapp.scan(service.wait_event("qr").data["payload"])
    service.wait_event("ready")
    wait_until(lambda: service.redis.hexists(service.client.names.watermarks, "*"), 60, "the first audit")


def told(service: Service, after: str = "-") -> list[dict[str, Any]]:
    """The data of all `message` events after that one, in the order of telling."""
    return [event.data for event in service.events("message", after=after)]


def wait_told(service: Service, keys: list[str], within_s: float = 60) -> list[dict[str, Any]]:
    """All of these were told, each once; those alone, in the order of telling."""
    missing, seen = set(keys), "-"

    def all_told() -> bool:
        nonlocal seen  # a stream may be long, and is looked at fifty times a second
        for event in service.events("message", after=seen):
            seen = str(event.id)
            missing.discard(event.data["key"])
        return not missing

    wait_until(all_told, within_s, "all messages are told")
    found = [data for data in told(service) if data["key"] in set(keys)]
    assert len(found) == len(keys), "none is told twice"
    return found
