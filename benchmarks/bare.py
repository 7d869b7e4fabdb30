"""The floors: the same parts with nothing of ours around them."""

import asyncio
import json
import shutil
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis
import websockets.legacy.client

from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from tests.harness.service import REPOSITORY

WA_JS = REPOSITORY / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"


class BareCdp:
    """DevTools over a plain WebSocket; one call at a time."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._last_id = 0

    async def call(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> Any:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params or {}}
        await self._websocket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(await self._websocket.recv())
            if answer.get("id") == self._last_id:
                return answer.get("result")

    async def attach(self) -> str:
        """The first tab's session."""
        targets = await self.call("Target.getTargets")
        page = next(target for target in targets["targetInfos"] if target["type"] == "page")
        attached = await self.call("Target.attachToTarget", {"targetId": page["targetId"], "flatten": True})
        return str(attached["sessionId"])

    async def until(self, session: str, expression: str) -> None:
        while True:
            answer = await self.call("Runtime.evaluate", {"expression": expression}, session)
            if answer and answer["result"].get("value") is True:
                return
            await asyncio.sleep(0.005)


async def with_browser(profile: Path, use: Callable[[BareCdp, str], Awaitable[Any]]) -> Any:
    """Start Chromium, attach to its tab, and hand it on."""
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        connect = websockets.legacy.client.connect
        async with connect(chromium.endpoint, max_size=None, compression=None) as websocket:
            cdp = BareCdp(websocket)
            return await use(cdp, await cdp.attach())


def seconds_to_code(profile: Path, url: str) -> float:
    """From Chromium's start to the code in the page's DOM, without wa-js."""
    shutil.rmtree(profile, ignore_errors=True)
    started = time.monotonic()

    async def use(cdp: BareCdp, session: str) -> float:
        await cdp.call("Page.navigate", {"url": url}, session)
        await cdp.until(session, "!!document.querySelector('[data-ref]')?.dataset.ref.includes(',')")
        return time.monotonic() - started

    return float(asyncio.run(with_browser(profile, use)))


def seconds_to_main(profile: Path, url: str) -> float:
    """From Chromium's start, on a profile that is paired, to wa-js saying MAIN and NORMAL."""
    started = time.monotonic()

    async def use(cdp: BareCdp, session: str) -> float:
        await cdp.call("Page.enable", session=session)
        await cdp.call("Page.addScriptToEvaluateOnNewDocument", {"source": WA_JS.read_text()}, session)
        await cdp.call("Page.navigate", {"url": url}, session)
        stream = "WPP.whatsapp.Stream"
        ready = f"!!window.WPP?.isInjected && {stream}.mode === 'MAIN' && {stream}.info === 'NORMAL'"
        await cdp.until(session, ready)
        took = time.monotonic() - started
        await cdp.call("Browser.close")
        return took

    return float(asyncio.run(with_browser(profile, use)))


def evaluate_ms(profile: Path, count: int) -> list[float]:
    """Round trips of the smallest evaluation."""

    async def use(cdp: BareCdp, session: str) -> list[float]:
        took = []
        for _ in range(count):
            started = time.perf_counter()
            await cdp.call("Runtime.evaluate", {"expression": "1", "returnByValue": True}, session)
            took.append((time.perf_counter() - started) * 1000)
        return took

    answers: list[float] = asyncio.run(with_browser(profile, use))
    return answers


def redis_echo_ms(url: str, count: int) -> list[float]:
    """PUBLISH to a listener that answers by RPUSH, read by BLPOP: a command and its reply with nothing done."""
    client, listener = redis.Redis.from_url(url), redis.Redis.from_url(url)
    pubsub: Any = listener.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # untyped there
    pubsub.subscribe("bare:commands")
    while not client.pubsub_numsub("bare:commands")[0][1]:
        time.sleep(0.001)

    def answer() -> None:
        for message in pubsub.listen():
            if message["data"] == b"end":
                return
            listener.rpush("bare:reply", message["data"])

    thread = threading.Thread(target=answer)
    thread.start()
    took = []
    for _ in range(count):
        started = time.perf_counter()
        client.publish("bare:commands", "x")
        client.blpop(["bare:reply"])
        took.append((time.perf_counter() - started) * 1000)
    client.publish("bare:commands", "end")
    thread.join()
    pubsub.close()
    listener.close()
    client.close()
    return took


def xadds_per_s(url: str, count: int) -> float:
    """One pipelined XADD and PUBLISH each, in batches of 64."""
    client = redis.Redis.from_url(url)
    body = "x" * 600
    started = time.perf_counter()
    for begin in range(0, count, 64):
        pipeline = client.pipeline(transaction=False)
        for _ in range(min(64, count - begin)):
            pipeline.xadd("bare:events", {"event": body})
            pipeline.publish("bare:events", body)
        pipeline.execute()
    rate = count / (time.perf_counter() - started)
    client.delete("bare:events")
    client.close()
    return rate


def sleep_late_ms(count: int) -> float:
    """How late a thread wakes that slept until a whole second: what no scheduler can better."""
    late = []
    for _ in range(count):
        time.sleep(1 - time.time() % 1)
        late.append((time.time() % 1) * 1000)
    return statistics.median(late)
