"""How long after its second a tick is in the queue."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.redis_server import RedisServer
from tests.harness.service import INSTANCE, REPOSITORY, SESSION
from tests.whatsapp_web import processes
from whatsapp_contract.names import InstanceNames

from . import bare
from .report import Figure

TICKS = 40


def run(folder: Path) -> list[Figure]:
    queue = f"huey.redis.{InstanceNames(SESSION, INSTANCE).queue}"
    with RedisServer(folder / "redis") as server:
        environ = os.environ | {
            "REDIS_PORT": str(server.port),
            "WHATSAPP_SESSION_ID": SESSION,
            "INSTANCE_ID": INSTANCE,
            "HEALTH_CHECK_CRON": "* * * * * *",
        }
        scheduler = processes.start(
            [sys.executable, "-m", "scheduler"], cwd=str(REPOSITORY), env=environ, stdout=subprocess.DEVNULL
        )
        late = []
        with server.client() as client:
            client.connection_pool.connection_kwargs["decode_responses"] = False
            for _ in range(TICKS):
                client.blpop([queue], timeout=5)
                late.append((time.time() % 1) * 1000)
        processes.stop(scheduler)
    median = statistics.median(late)
    floor = f"{bare.sleep_late_ms(10):.1f} ms a sleeping thread"
    return [Figure("tick enqueued after its second, median", f"{median:.1f} ms (n={TICKS})", floor, "5 ms")]
