"""Free ports, for what listens on them some seconds later."""

import itertools
import os
import random
import socket
from pathlib import Path

_PER_PROCESS = 1_000
_LOWEST = 10_000


def _block() -> range:
    """This test process' own ports, below those that the kernel gives to connections: one of these would be taken by
    some Chromium before its service listens on it."""
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    blocks = max(1, (min(ephemeral, 65_536) - _LOWEST) // _PER_PROCESS)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _LOWEST + worker % blocks * _PER_PROCESS
    return range(first, first + _PER_PROCESS)


_BLOCK = _block()
# From anywhere in it: another run of the tests may be under way on this machine.
_NEXT = itertools.count(random.SystemRandom().randrange(_PER_PROCESS))


def free_port() -> int:
    """A port on which nobody listens, and which this process has not given yet."""
    for _ in range(_PER_PROCESS):
        port = _BLOCK[next(_NEXT) % _PER_PROCESS]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # as the web process
            except OSError:
                continue
            return port
    raise OSError(f"no port of {_BLOCK} is free")
