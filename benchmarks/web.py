"""The web process: answers at fifty requests a second, two hundred followers of the events, and a stop under them.

It has one core to itself. The floors are in the same run: the same requests for a constant answer of the same server
(uvicorn, one route), and the question to Redis alone.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.harness.ports import free_port
from tests.harness.redis_server import RedisServer
from tests.harness.waiting import wait_until
from tests.harness.web_process import API_TOKEN, SESSION, WebProcess, ready_status
from tests.whatsapp_web import processes
from whatsapp_contract.names import SessionNames
from whatsapp_contract.redis_connection import connect_async

from .report import Figure

PER_S, FOR_S = 50, 20
FOLLOWERS, EVENTS = 200, 100
NAMES = SessionNames(SESSION)
_BARE = """
import sys, uvicorn
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
uvicorn.run(app, port=int(sys.argv[1]), ws="none", lifespan="off", access_log=False, log_level="error")
"""


def run(folder: Path) -> list[Figure]:
    """All of it."""
    with RedisServer(folder / "redis") as redis, WebProcess(redis, folder / "web", API_RATE="100000") as web:
        with redis.client() as client:
            client.hset(NAMES.status, mapping=ready_status().to_hash())
        os.sched_setaffinity(web.process.pid, {0})
        figures = asyncio.run(_requests(web, redis))
        return figures + asyncio.run(_followers(web, redis))


# -- fifty a second --------------------------------------------------------------------------------------------------


async def _requests(web: WebProcess, redis: RedisServer) -> list[Figure]:
    bare_port = free_port()
    bare = processes.start([sys.executable, "-c", _BARE, str(bare_port)])
    try:
        os.sched_setaffinity(bare.pid, {0})
        await asyncio.to_thread(wait_until, lambda: _listens(bare_port), 20, "the bare server listens")
        constant = await _paced(await _asking(bare_port, "/"))
    finally:
        processes.stop(bare)
    async with connect_async(redis.url) as client:

        async def ask_redis() -> None:
            await client.hgetall(NAMES.status)

        of_redis = await _paced(ask_redis)
    floor = f"{_median_p99(constant)} a constant answer, {_median_p99(of_redis)} Redis"
    figures = []
    for path in ("/readyz", "/api/status"):
        before = psutil.Process(web.process.pid).cpu_times()
        took = await _paced(await _asking(web.port, path))
        after = psutil.Process(web.process.pid).cpu_times()
        cpu_ms = (after.user - before.user + after.system - before.system) * 1000 / len(took)
        ours = f"{_median_p99(took)}; {cpu_ms:.2f} ms CPU each"
        figures.append(Figure(f"{path} at {PER_S} a second on one core, median / p99", ours, floor, "-"))
    return figures


async def _paced(ask: Callable[[], Awaitable[None]]) -> list[float]:
    """Milliseconds of each request, begun by the clock, whether the one before is answered or not."""
    loop = asyncio.get_running_loop()
    took: list[float] = []

    async def one() -> None:
        started = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - started) * 1000)

    begin, asked = loop.time(), []
    for number in range(PER_S * FOR_S):
        await asyncio.sleep(max(0.0, begin + number / PER_S - loop.time()))
        asked.append(asyncio.create_task(one()))
    await asyncio.gather(*asked)
    return took


async def _asking(port: int, path: str) -> Callable[[], Awaitable[None]]:
    """One request over connections that are kept, as a client's pool does."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n".encode()

    async def ask() -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        idle.append((reader, writer))

    await ask()
    return ask


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# -- followers -------------------------------------------------------------------------------------------------------


async def _followers(web: WebProcess, redis: RedisServer) -> list[Figure]:
    process = psutil.Process(web.process.pid)
    before_mb = process.memory_full_info().pss / 2**20
    arrived: dict[int, list[float]] = {}  # the event's number, when it was at each follower
    followers = [asyncio.create_task(_follow(web.port, arrived)) for _ in range(FOLLOWERS)]
    async with connect_async(redis.url) as client:
        await _told_to_all(client, arrived, -1)  # all of them are there
        cpu_before = process.cpu_times()
        sent: dict[int, float] = {}
        for number in range(EVENTS):
            sent[number] = time.perf_counter()
            await _tell(client, number)
            await asyncio.sleep(0.1)
        while len(arrived.get(EVENTS - 1, [])) < FOLLOWERS:  # noqa: ASYNC110  # told by another's list, not by us
            await asyncio.sleep(0.01)
        cpu_after = process.cpu_times()
    after_mb = process.memory_full_info().pss / 2**20
    firsts = [(min(arrived[number]) - at) * 1000 for number, at in sent.items()]
    lasts = [(max(arrived[number]) - at) * 1000 for number, at in sent.items()]
    cpu_ms = (cpu_after.user - cpu_before.user + cpu_after.system - cpu_before.system) * 1000 / EVENTS
    started = time.perf_counter()
    await asyncio.to_thread(web.stop)
    stop_s = time.perf_counter() - started
    await asyncio.gather(*followers, return_exceptions=True)
    each_kb = (after_mb - before_mb) * 1024 / FOLLOWERS
    return [
        Figure(
            f"{FOLLOWERS} followers: memory (PSS)",
            f"{after_mb:.0f} MB, {each_kb:.0f} kB each",
            f"{before_mb:.0f} MB without",
            "-",
        ),
        Figure(
            f"{FOLLOWERS} followers: event to the last of them, median / p99",
            f"{_median_p99(lasts)}; {cpu_ms:.1f} ms CPU an event",
            f"{_median_p99(firsts)} to the first",
            "-",
        ),
        Figure(f"{FOLLOWERS} followers: stop", f"{stop_s:.2f} s", "-", "3 s"),
    ]


async def _follow(port: int, arrived: dict[int, list[float]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n".encode())
    while line := await reader.readline():
        if line.startswith(b"data: "):
            number = int(json.loads(line[6:])["data"]["number"])
            arrived.setdefault(number, []).append(time.perf_counter())


async def _told_to_all(client: Any, arrived: dict[int, list[float]], number: int) -> None:
    while len(arrived.get(number, [])) < FOLLOWERS:
        arrived.pop(number, None)
        await _tell(client, number)
        await asyncio.sleep(2)


async def _tell(client: Any, number: int) -> None:
    moment = datetime.now(UTC).isoformat()
    envelope = {"v": 1, "type": "message", "session_id": SESSION, "epoch": 1, "seq": number}
    event = {**envelope, "occurred_at": moment, "observed_at": moment, "data": {"number": number, "text": "x" * 400}}
    await client.xadd(NAMES.events, {"event": json.dumps(event)})


def _median_p99(took_ms: list[float]) -> str:
    ordered = sorted(took_ms)
    return f"{statistics.median(ordered):.2f} / {ordered[int(len(ordered) * 0.99)]:.2f} ms"
