"""From a fault to ready again, with the intervals of production: checks every ten seconds, a link silent after 35."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

from .report import Figure, median_worst

Fault = Callable[[Service, WhatsAppWeb], None]


def run(folder: Path) -> list[Figure]:
    faults: list[tuple[str, Fault, int, str]] = [
        ("Chromium killed", _kill_browser, 5, "10 s"),
        ("agent frozen", _freeze_agent, 3, "40 s"),
        ("link half-open", _half_open, 3, "70 s"),
        ("renderer stopped", _stop_renderer, 3, "40 s"),
    ]
    figures = []
    with WhatsAppWeb() as whatsapp, Service(folder, whatsapp.url, START_BUDGET="1000") as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        for name, fault, rounds, limit in faults:
            took = [_time(service, whatsapp, fault, phase) for phase in range(rounds)]
            figures.append(Figure(f"{name}: ready again", median_worst(took), "-", limit))
    return figures


def _time(service: Service, whatsapp: WhatsAppWeb, fault: Fault, phase: int) -> float:
    """Faults come at another distance from the ten-second tick each time."""
    wait_until(lambda: _is_well(service), 60, "well")
    time.sleep(22)  # at least two good checks, and the watchdog has forgotten the fault before
    time.sleep((phase * 3.3 + 1.0 - time.time()) % 10)
    before, started = service.last_event_id(), time.time()
    fault(service, whatsapp)
    ready = service.wait_event("ready", after=before, within_s=180)
    return ready.observed_at.timestamp() - started


def _is_well(service: Service) -> bool:
    status = service.client.status()
    return status is not None and status.verdict == "healthy"


def _kill_browser(service: Service, _whatsapp: WhatsAppWeb) -> None:
    os.kill(service.status().browser_pid or 0, signal.SIGKILL)


def _freeze_agent(service: Service, _whatsapp: WhatsAppWeb) -> None:
    os.kill(service.program("browser-agent").pid, signal.SIGSTOP)


def _half_open(_service: Service, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open()


def _stop_renderer(service: Service, _whatsapp: WhatsAppWeb) -> None:
    for process in service.browser_processes():
        if "--type=renderer" in process.cmdline():
            process.send_signal(signal.SIGSTOP)
