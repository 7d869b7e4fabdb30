"""The image as users run it, hardened: from `run` to the first code, to ready with a kept volume, its end, its memory.

`tools/image-test --figures` builds it and says in the environment what it is called, and by which engine it is run.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.container.container import Container
from tests.container.engine import Engine
from tests.container.standin import StandIn
from tests.harness.waiting import wait_until

from .report import Figure, median_worst

ROUNDS = 5
IDLE_S = 60
OTHERS = ("redis", "Chromium")
# PSS in bytes by program, read as the user that they run as.
_MEMORY = """
import json, psutil
PARTS = {"cli.pid1": "supervisord", "browser_agent": "browser-agent", "scheduler": "scheduler", "workers": "worker",
         "webhooks": "webhooks", "web": "web", "redis-server": "redis", "chrom": "Chromium"}
sizes = {}
for process in psutil.process_iter():
    line = " ".join(process.cmdline())
    name = next((name for part, name in PARTS.items() if part in line.split(" --")[0]), "other")
    sizes[name] = sizes.get(name, 0) + process.memory_full_info().pss
print(json.dumps(sizes))
"""


def run(folder: Path) -> list[Figure]:
    folder.mkdir()
    bench = _Bench(Engine(os.environ["ENGINE"]), os.environ["IMAGE_UNDER_TEST"], folder)
    nothing = [bench.seconds_of_nothing() for _ in range(ROUNDS)]
    to_code, to_ready, to_end = [], [], []
    sizes: dict[str, int] = {}
    with bench.stand_in:
        for _ in range(ROUNDS):
            with bench.container() as (container, started):
                to_code.append(_told_at(container, "qr", started) - started)
            bench.forget()
        with bench.container() as (container, started):
            bench.stand_in.scan()
            _told_at(container, "ready", started)
            container.stop()
        for _ in range(ROUNDS):
            with bench.container() as (container, started):
                to_ready.append(_told_at(container, "ready", started) - started)
                if not sizes:
                    time.sleep(IDLE_S)
                    sizes = json.loads(container.exec("python", "-c", _MEMORY))
                stopped = time.monotonic()
                assert container.stop() == 0
                to_end.append(time.monotonic() - stopped)
        bench.forget()
    floor = f"{median_worst(nothing)} to run and end one that does nothing"
    return [
        Figure("container started to first qr", median_worst(to_code), floor, "-"),
        Figure("container started on a kept volume to ready", median_worst(to_ready), floor, "-"),
        Figure("container stopped", median_worst(to_end), "-", "10 s"),
        Figure("memory in the container at idle (PSS)", _ours(sizes), "-", "-"),
    ]


class _Bench:
    """Containers on one volume."""

    def __init__(self, engine: Engine, image: str, folder: Path) -> None:
        self._engine = engine
        self._image = image
        self._name = f"wac-bench-{uuid.uuid4().hex[:8]}"
        self.stand_in = StandIn(engine, image, f"{self._name}-stand-in", folder)

    @contextmanager
    def container(self) -> Iterator[tuple[Container, float]]:
        """One that was just started, and when, in epoch seconds."""
        given = os.environ["DOCKER_SECCOMP_PROFILE"]
        profile = Path(given) if given else None
        made = Container(self._engine, self._image, self.stand_in, profile, self._name, self._name)
        started = time.time()
        with made.with_options(HEALTH_CHECK_CRON="*/10 * * * * *"):
            yield made, started

    def forget(self) -> None:
        self._engine.remove_volume(self._name)

    def seconds_of_nothing(self) -> float:
        started = time.monotonic()
        self._engine.call("run", "--rm", "--network", "none", self._image, "true")
        return time.monotonic() - started


def _told_at(container: Container, event_type: str, since: float) -> float:
    """When such an event was told first after that, by the event's own time. Looked for seldom, to cost it little."""

    def told() -> list[float]:
        try:
            return [at for at in container.told_at(event_type) if at > since]
        except Exception:  # nothing answers yet
            return []

    return wait_until(told, 60, f"event {event_type}", every_s=1.0)[0]


def _ours(sizes: dict[str, int]) -> str:
    ours = [name for name in sizes if name not in (*OTHERS, "other")]
    total = sum(sizes[name] for name in ours) / 1e6
    return f"{total:.0f} MB: {_each(sizes, ours)}; besides {_each(sizes, OTHERS)}"


def _each(sizes: dict[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {sizes[name] / 1e6:.0f}" for name in names)
