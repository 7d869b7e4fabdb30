"""The whole supervised service on the stand-in."""

import time
from collections.abc import Iterator

import pytest

from tests.harness.quiet import Quiet
from tests.harness.redis_server import RedisServer
from tests.harness.service import PROGRAMS, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

# Checks every two seconds and a link taken for silent after six: faults are found in seconds rather than a minute.
QUICK = {
    "HEALTH_CHECK_CRON": "*/2 * * * * *",
    "LINK_SILENCE_S": "6",
    "START_BUDGET": "1000",
}

EVERY_30_S = {"CONNECTION_RESET_CRON": "*/30 * * * * *"}  # each on the second of a check


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[WhatsAppWeb]:
    """A stand-in whose server is heard every two seconds."""
    with WhatsAppWeb(keepalive_s=2, reconnect_first_ms=200) as whatsapp:
        yield whatsapp


@pytest.fixture(scope="module")
def ready_service(whatsapp: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that was scanned and is ready; its tests leave it ready."""
    with Service(tmp_path_factory.mktemp("service"), whatsapp.url, **QUICK) as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        yield service


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quiet]:
    """A service to which nothing is done."""
    folder = tmp_path_factory.mktemp("quiet")
    with (
        WhatsAppWeb(keepalive_s=2) as whatsapp,
        RedisServer(folder / "redis") as redis,
        Service(folder, whatsapp.url, **redis.settings(), **QUICK, **EVERY_30_S) as service,
    ):
        whatsapp.scan(service.wait_event("qr").data["payload"])
        ready = service.wait_event("ready")
        running = [name for name in PROGRAMS if name != "redis"]
        wait_until(lambda: all(service.program(name).name == "RUNNING" for name in running), 60, "all run")
        yield Quiet(service, redis, whatsapp, time.time(), str(ready.id), service.pids())
