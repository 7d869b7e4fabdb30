"""A service that nothing is done to, for the tests of false alarms."""

from dataclasses import dataclass

from tests.whatsapp_web.client import WhatsAppWeb

from .redis_server import RedisServer
from .service import Service


@dataclass
class Quiet:
    service: Service
    redis: RedisServer
    whatsapp: WhatsAppWeb
    since: float
    after: str
    pids: dict[str, int]

    def nothing_was_restarted(self) -> None:
        assert self.service.events("restarted", "alert", "auth_failure", after=self.after) == []
        assert self.service.pids() == self.pids
        resets = self.service.events("reset", after=self.after)
        assert {(event.data["how"], event.data["cause"], event.data["proven"]) for event in resets} <= {
            ("reconnect", "scheduled", True)
        }
        assert "taking a rung" not in self.service.log()
