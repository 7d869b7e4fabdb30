"""The surroundings in which faults are tried. Each is a context manager that yields a bench; most faults take `plain`.

What a world needs of the machine it looks for first: `NotHere` says what is missing, and the table says so, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from browser_agent.whatsapp.executable import find_executable
from tests.harness.redis_server import RedisServer
from tests.harness.service import Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb

from .bench import OPTIONS, VARIABLES, Bench
from .witness import Witness

NAME = "whatsapp.test"
# Runs before the agent: SIGUSR2 has the event loop's own thread sleep, SIGUSR1 cuts the connection to Chromium.
ON_SIGNALS = """
import contextlib, os, pathlib, signal, socket, sys, time

def cut(*_):
    port_file = pathlib.Path(os.environ["DATA_DIR"], "sessions/test-session/profile/DevToolsActivePort")
    port = int(port_file.read_text().split()[0])
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as ours:
            if ours.family == socket.AF_INET and ours.getpeername()[1] == port:
                ours.shutdown(socket.SHUT_RDWR)

if "browser_agent" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, cut)
    signal.signal(signal.SIGUSR2, lambda *_: time.sleep(600))
"""


class NotHere(Exception):
    """This machine does not allow what the world needs."""


@contextlib.contextmanager
def plain(folder: Path, **variables: str) -> Iterator[Bench]:
    """A service as it is."""
    with WhatsAppWeb(**OPTIONS) as whatsapp:
        service = Service(folder, whatsapp.url, **{**VARIABLES, **variables})
        with _linked(service, whatsapp) as bench:
            yield bench


@contextlib.contextmanager
def saved(folder: Path) -> Iterator[Bench]:
    """Its session was saved a moment ago. A snapshot stops all of the browser and has it go on, and with that ends a
    stop by somebody else."""
    with plain(folder) as bench:
        bench.service.wait_event("session_saved", within_s=120)
        yield bench


@contextlib.contextmanager
def resets_often(folder: Path) -> Iterator[Bench]:
    """The connection is reset every half minute, on the second of a check."""
    with plain(folder, CONNECTION_RESET_CRON="*/30 * * * * *") as bench:
        yield bench


@contextlib.contextmanager
def minds_signals(folder: Path) -> Iterator[Bench]:
    """The agent's Python has a sitecustomize of the test's."""
    library = folder / "library"
    library.mkdir(parents=True)
    (library / "sitecustomize.py").write_text(ON_SIGNALS)
    with plain(folder, PYTHONPATH=str(library)) as bench:
        yield bench


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Bench]:
    """DATA_DIR is a file system of its own, which `fill_disk` fills to the last byte."""
    data = folder / "data"
    data.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(data))
    filler = data / "filler"

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 20)):
                pass
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(b"\0"):
                pass

    try:
        with plain(folder) as bench:
            bench.act = {"fill_disk": fill, "free_disk": filler.unlink}
            yield bench
    finally:
        _run("umount", str(data))


@contextlib.contextmanager
def own_clock(folder: Path) -> Iterator[Bench]:
    """libfaketime gives our processes a wall clock that can be stepped; Redis and Chromium keep the real one."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise NotHere("libfaketime is not installed (Debian's package faketime)")
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    clock.write_text("+0s\n")
    # Chromium does not live under it, and is started without.
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {find_executable(None)} "$@"\n')
    browser.chmod(0o755)
    variables = {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PUPPETEER_EXECUTABLE_PATH": str(browser),
    }

    # Redis cannot be started under libfaketime: its allocator asks for the time before that is ready.
    with RedisServer(folder / "redis") as redis:
        variables |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port)}
        with plain(folder, **variables) as bench:
            bench.commands_expire = False

            def step(offset: str) -> None:
                clock.write_text(f"{offset}\n")
                wait_until(lambda: abs(bench.service.status().age_s(datetime.now(UTC))) > 3000, 20, "it is stepped")

            bench.act = {"clock_ahead": lambda: step("+3600s"), "clock_back": lambda: step("-3600s")}
            yield bench


@contextlib.contextmanager
def own_names(folder: Path) -> Iterator[Bench]:
    """The stand-in has a name, which only a hosts file in the service's own mount namespace knows."""
    if not Path("/etc/chromium").is_dir():
        raise NotHere("the browser's policies are not below /etc/chromium")
    folder.mkdir(parents=True, exist_ok=True)
    hosts, resolver, policy = folder / "hosts", folder / "resolv.conf", folder / "policy.json"
    known = f"127.0.0.1 localhost {NAME}\n"
    hosts.write_text(known)
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    with WhatsAppWeb(**OPTIONS) as whatsapp:
        url = whatsapp.url.replace("127.0.0.1", NAME)
        # The page needs WebCrypto, which a browser gives to https and loopback alone, unless its owner says otherwise.
        policy.write_text(json.dumps({"OverrideSecurityRestrictionsOnInsecureOrigin": [url.rstrip("/")]}))
        service = Service(folder, url, **VARIABLES)
        script = (
            'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && mount -t tmpfs tmpfs /etc/chromium '
            '&& mkdir -p /etc/chromium/policies/managed && cp "$3" /etc/chromium/policies/managed/ && shift 3 '
            '&& exec "$@"'
        )
        service.prefix = ("unshare", "--mount", "sh", "-c", script, "sh", str(hosts), str(resolver), str(policy))
        with _linked(service, whatsapp) as bench:
            bench.act = {
                "forget_name": lambda: _write(hosts, "127.0.0.1 localhost\n"),
                "know_name": lambda: _write(hosts, known),
            }
            yield bench


@contextlib.contextmanager
def _linked(service: Service, whatsapp: WhatsAppWeb) -> Iterator[Bench]:
    with service, Witness(service) as witness:
        bench = Bench(service, whatsapp, witness)
        bench.link()
        yield bench


def _write(file: Path, text: str) -> None:
    file.write_text(text)  # in place: the namespace has this very file


def _run(*command: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env or os.environ, check=False)
    if done.returncode:
        raise NotHere(f"{command[0]}: {done.stderr.strip()}")
