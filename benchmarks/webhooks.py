"""How quickly a webhook gets what came while its receiver was away; what the process takes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.harness.messages import message_with
from tests.harness.ports import free_port
from tests.harness.redis_server import RedisServer
from tests.harness.service import REPOSITORY
from tests.harness.waiting import wait_until
from tests.whatsapp_web import processes
from whatsapp_contract import event_script
from whatsapp_contract.events import MessageData
from whatsapp_contract.names import SessionNames
from whatsapp_contract.reading import carry_out
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import group_of, states

from .report import Figure

EVENTS, FAR_EVENTS, CHATS, FAR_MS = 10_000, 2_000, 50, 20
NAMES = SessionNames("bench")


def run(folder: Path) -> list[Figure]:
    with RedisServer(folder / "redis") as server:
        bodies = _fill(server, EVENTS, CHATS)
        read = _read_rate(server, EVENTS)
        bare = _posted_rate(bodies, 0)
        many, mib = _drained(server, EVENTS, CHATS, 0)
        one, _ = _drained(server, EVENTS, 1, 0)
        far_bare = _posted_rate(bodies[: FAR_EVENTS // 8], FAR_MS)
        far, _ = _drained(server, FAR_EVENTS, CHATS, FAR_MS)
    floor = f"{bare:,.0f}/s urllib3, {read:,.0f}/s Redis"
    return [
        Figure(
            f"webhook, {EVENTS:,} events of {CHATS} chats after an outage", f"{many:,.0f}/s", floor, "at least 2,000/s"
        ),
        Figure(f"webhook, {EVENTS:,} events of one chat", f"{one:,.0f}/s", floor, "at least 1,500/s"),
        Figure(
            f"webhook, {FAR_EVENTS:,} events of {CHATS} chats, a receiver {FAR_MS} ms away",
            f"{far:,.0f}/s",
            f"{far_bare:,.0f}/s urllib3",
            "at least 250/s",
        ),
        Figure("webhooks' process (PSS)", f"{mib:.0f} MiB", "", "40 MiB"),
    ]


def _fill(server: RedisServer, count: int, chats: int) -> list[bytes]:
    """Messages of so many chats; the bodies."""
    now = datetime.now(UTC)
    with server.client() as client:
        before: Any = client.xlen(NAMES.events)
        for start in range(0, count, 500):
            with client.pipeline(transaction=False) as pipe:
                for number in range(start, start + 500):
                    event_script.publish(pipe, NAMES, "message", _message(number, chats, now))
                pipe.execute()
        entries: Any = client.xrevrange(NAMES.events, count=count)
        assert client.xlen(NAMES.events) == before + count
    return [fields["event"].encode() for _, fields in entries]


def _message(number: int, chats: int, now: datetime) -> MessageData:
    chat = f"1203630{number % chats:011}@g.us"
    message = message_with(None, f"false_{chat}_3EB0{number:016X}_39333{number:07}@lid", now, chat)
    text = "Here are the photos of yesterday, " * 3
    return message.model_copy(update={"chat_name": "A wedding of some people", "text": text})


@contextmanager
def _sink(port: int, count: int, answer_ms: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = processes.start(
        [sys.executable, "-m", "benchmarks.webhook_sink", str(port), str(count), str(answer_ms)],
        cwd=str(REPOSITORY),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        processes.stop(process)
        process.stdout.close()


def _seconds(sink: "subprocess.Popen[bytes]") -> float:
    assert sink.stdout is not None
    return float(sink.stdout.readline())


def _posted_rate(bodies: list[bytes], answer_ms: int) -> float:
    """Bare posts, one after another over one connection."""
    import urllib3

    port = free_port()
    with _sink(port, len(bodies), answer_ms) as sink:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1)
        for body in bodies:
            pool.urlopen("POST", "/", body=body, headers={"content-type": "application/json"}, redirect=False)
        pool.close()
        return len(bodies) / _seconds(sink)


def _read_rate(server: RedisServer, count: int) -> float:
    """Bare reads and acknowledgements, fifty at once."""
    with server.client() as client:
        client.xgroup_create(NAMES.events, "bare", "0")
        started, left = time.perf_counter(), count
        while left:
            found: Any = client.xreadgroup("bare", "c", {NAMES.events: ">"}, 50)
            ids = [entry_id for _, entries in found for entry_id, _ in entries]
            client.xack(NAMES.events, "bare", *ids)
            left -= len(ids)
        took_s = time.perf_counter() - started
        client.xgroup_destroy(NAMES.events, "bare")
    return count / took_s


def _drained(server: RedisServer, count: int, chats: int, answer_ms: int) -> tuple[float, float]:
    """Events a second, from the first one that is posted to a receiver that is back to the last one's answer; the
    process' memory then."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    environ = {
        **os.environ,
        "REDIS_URL": server.url,
        "WHATSAPP_SESSION_ID": NAMES.session_id,
        "INSTANCE_ID": "bench",
        "WEBHOOK_URL": url,
        "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    with server.client() as client:
        client.delete(NAMES.events)
        process = processes.start(
            [sys.executable, "-m", "webhooks"], cwd=str(REPOSITORY), env=environ, stdout=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: _has_group(client, url), 20, "the webhook has its place")
            _fill(server, count, chats)
            wait_until(lambda: carry_out(client, states(NAMES)), 10, "its state is told")
            wait_until(lambda: _state(client, url).failing_since, 20, "the outage is noticed")
            with _sink(port, count, answer_ms) as sink:
                rate = count / _seconds(sink)
            wait_until(lambda: _state(client, url).behind == 0, 20, "all is acknowledged")
            assert _state(client, url).delivered == count
            return rate, psutil.Process(process.pid).memory_full_info().pss / 1024**2
        finally:
            processes.stop(process)


def _state(client: "redis.Redis", url: str) -> Any:
    return next(state for state in carry_out(client, states(NAMES)) if state.id == hook_id(url))


def _has_group(client: "redis.Redis", url: str) -> bool:
    groups: Any = client.xinfo_groups(NAMES.events) if client.exists(NAMES.events) else []
    return group_of(hook_id(url)) in {group["name"] for group in groups}
