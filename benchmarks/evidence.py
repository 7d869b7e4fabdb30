"""What hearing the link costs the agent: Chromium tells it of every frame."""

import asyncio
import os
from pathlib import Path

from browser_agent.whatsapp import cdp
from browser_agent.whatsapp.chromium import open_chromium
from browser_agent.whatsapp.executable import find_executable
from browser_agent.whatsapp.models import MessageSeen, PageEvent, StreamChanged
from browser_agent.whatsapp.page import WhatsAppPage
from tests.whatsapp_web.client import WhatsAppWeb

from . import bare
from .report import Figure

MESSAGES = 500


def run(folder: Path) -> list[Figure]:
    with WhatsAppWeb(keepalive_s=1000) as whatsapp:
        return [asyncio.run(_measure(folder / "profile", whatsapp))]


async def _measure(profile: Path, whatsapp: WhatsAppWeb) -> Figure:
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
        await cdp.connection_of(browser).dispose()
    each_us = (with_network - without) * 1000 / MESSAGES
    ours = f"{with_network:.0f} ms CPU for {MESSAGES:,} messages; {each_us:.0f} us a frame is the evidence"
    return Figure("hearing the link (Network events on)", ours, f"{without:.0f} ms without", "-")


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
