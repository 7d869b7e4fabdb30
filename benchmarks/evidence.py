"""What hearing the link costs the agent, since Chromium tells it of every frame, and what a check costs it."""

import asyncio
import os
import time
from pathlib import Path

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.models import MessageSeen, PageEvent, StreamChanged
from browser_agent.whatsapp.page import WhatsAppPage
from tests.whatsapp_web.client import WhatsAppWeb

from . import bare
from .report import Figure, median_p99

MESSAGES = 500
CHECKS, STORED = 2000, 100_000

# Every look passes the end of the store.
FILL_STORE = f"""void (() => {{
  const full = Array.from({{ length: {STORED} }}, (_, at) => ({{ isNewMsg: true, type: 'chat', id: {{ at }} }}));
  WPP.whatsapp.MsgStore.getModelsArray = () => full.slice();
}})()"""


def run(folder: Path) -> list[Figure]:
    with WhatsAppWeb(keepalive_s=1000) as whatsapp:
        return asyncio.run(_measure(folder / "profile", whatsapp))


async def _measure(profile: Path, whatsapp: WhatsAppWeb) -> list[Figure]:
    async with open_chromium(find_executable(None), profile, sandbox=False) as chromium:
        browser = await cdp.connect(chromium.endpoint, within_s=5)
        page = await WhatsAppPage.open(browser, chromium, whatsapp.url, bare.WA_JS)
        ready, seen = asyncio.Event(), asyncio.Semaphore(0)

        def on_event(event: PageEvent) -> None:
            if isinstance(event, MessageSeen):
                seen.release()
            elif isinstance(event, StreamChanged) and event.stream.mode == "MAIN":
                ready.set()

        page.on_event = on_event
        await page.navigate()
        await asyncio.to_thread(whatsapp.scan)
        await ready.wait()
        session = page._session
        with_network = await _cpu_ms(whatsapp, seen)
        await session.call("Network.disable", within_s=5)
        without = await _cpu_ms(whatsapp, seen)
        checks = await _checks(page)
        await cdp.connection_of(browser).dispose()
    each_us = (with_network - without) * 1000 / MESSAGES
    ours = f"{with_network:.0f} ms CPU for {MESSAGES:,} messages; {each_us:.0f} us a frame is the evidence"
    return [Figure("hearing the link (Network events on)", ours, f"{without:.0f} ms without", "-"), *checks]


async def _checks(page: WhatsAppPage) -> list[Figure]:
    """The page's part of a check, with all that is looked at for it, and what of it is the agent's own work."""
    figures = []
    for stored in (0, STORED):
        if stored:
            await page._evaluate(FILL_STORE)
        took, before = [], os.times()
        for _ in range(CHECKS):
            started = time.perf_counter()
            await page.probe()
            took.append((time.perf_counter() - started) * 1000)
        after = os.times()
        cpu_ms = (after.user - before.user + after.system - before.system) * 1000 / CHECKS
        ours = f"{median_p99(took)}; {cpu_ms:.2f} ms CPU of the agent"
        figures.append(Figure(f"asking the page, {stored:,} messages stored, median / p99", ours, "-", "3 ms CPU"))
    return figures


async def _cpu_ms(whatsapp: WhatsAppWeb, seen: asyncio.Semaphore) -> float:
    """The better of three, of this process alone."""
    best = float("inf")
    for _ in range(3):
        before = os.times()
        for _ in range(MESSAGES):  # one frame each
            await asyncio.to_thread(whatsapp.deliver_text, "x")
            await seen.acquire()
        after = os.times()
        best = min(best, (after.user - before.user + after.system - before.system) * 1000)
    return best
