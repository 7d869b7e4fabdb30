"""What our own processes cost at idle, and what is left of Chromium after many restarts."""

import os
import signal
import time
from pathlib import Path

import psutil

from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

from .report import Figure

IDLE_S, RESTARTS = 60, 20
OURS = ("browser-agent", "scheduler", "worker", "web")


def run(folder: Path) -> list[Figure]:
    with WhatsAppWeb() as whatsapp, Service(folder, whatsapp.url, START_BUDGET="1000") as service:
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        time.sleep(20)
        return [*_idle(service), _leftovers(service)]


def _idle(service: Service) -> list[Figure]:
    pids = {"supervisord": service.pid, **{name: service.program(name).pid for name in OURS}}
    before = {name: _cpu_s(pid) for name, pid in pids.items()}
    time.sleep(IDLE_S)
    cpu = {name: (_cpu_s(pid) - before[name]) * 60 / IDLE_S for name, pid in pids.items()}
    pss = {name: psutil.Process(pid).memory_full_info().pss / 1e6 for name, pid in pids.items()}
    each = ", ".join(f"{name} {size:.0f}" for name, size in pss.items())
    cpu_each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in cpu.items())
    return [
        Figure("memory at idle (PSS, five processes)", f"{sum(pss.values()):.0f} MB: {each}", "-", "180 MB"),
        Figure("CPU at idle, a minute", f"{sum(cpu.values()):.2f} s: {cpu_each}", "-", "0.6 s"),
    ]


def _leftovers(service: Service) -> Figure:
    """Half of the restarts by killing the agent, half by its own command; then what still runs besides one browser."""
    for round_ in range(RESTARTS):
        # supervisord gives a program up that ends again and again before it counts as running.
        wait_until(lambda: service.program("browser-agent").name == "RUNNING", 30, "the agent counts as running")
        before = service.last_event_id()
        if round_ % 2:
            service.client.call("restart_browser", {"cause": "benchmark"})
        else:
            os.kill(service.program("browser-agent").pid, signal.SIGKILL)
        service.wait_event("ready", after=before, within_s=60)
    browser = service.status().browser_pid
    assert browser
    current = {browser, *(child.pid for child in psutil.Process(browser).children(recursive=True))}
    left = [process for process in service.browser_processes() if process.pid not in current]
    return Figure(f"Chromium processes left after {RESTARTS} restarts", str(len(left)), "-", "0")


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
