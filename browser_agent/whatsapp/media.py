"""A message's file out of the page, in pieces.

Measured on Chromium 156 with files of 1 MiB: IO.read in pieces of 256 KiB, four asked for ahead, takes 9 ms and 5 ms
of our processor's time; whole base64 several times that, and its memory. Downloads (`<a download>`) would cost us
nothing, but Chromium drops all beyond ten a second without a word.
"""

import asyncio
import base64
import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from whatsapp_contract.errors import ContractError, NotReady, PageTimeout

from .cdp import ChromiumRefused
from .page import WhatsAppPage

PIECE = 256 * 1024
AHEAD = 4
PIECE_WITHIN_S = 10.0
ANSWER_WITHIN_S = 5.0


class MediaRefused(Exception):
    """The page has no such file for us. `code` is wa-js' own, `stage` what the page says of the file."""

    def __init__(self, code: str, stage: str | None, status: int | None) -> None:
        super().__init__(f"{code} ({stage or 'no stage'})")
        self.code = code
        self.stage = stage
        self.status = status


async def read_media(page: WhatsAppPage, key: str, target: Path, most_bytes: int, within_s: float) -> int:
    """Have the page fetch a message's file, and write it to `target`, which must not be there. Answers its size.

    Raises MediaRefused, with the code `too_large` for one over `most_bytes`; PageTimeout, PageCrashed, BrowserGone,
    NotReady and ChromiumRefused as every call, and OSError. A part of it may have been written then.
    """
    # One that comes after we gave up is let go at the file's next try; that the page sends one is prevented there.
    group = f"media {key}"
    try:
        blob = await _open(page, key, group, most_bytes, within_s)
        try:
            answer = await page.session.call("IO.resolveBlob", {"objectId": blob}, within_s=ANSWER_WITHIN_S)
            return await _copy(page, f"blob:{answer['uuid']}", target, most_bytes)
        except ChromiumRefused:
            if not await _is_there(page, blob):
                raise NotReady("the page was loaded anew meanwhile") from None
            raise
    finally:
        _let_go(page, "Runtime.releaseObjectGroup", {"objectGroup": group})


def release_media(page: WhatsAppPage, key: str) -> None:
    """The page may forget a file's bytes. It is not waited for: a page that is gone has forgotten them."""
    _let_go(page, "Runtime.evaluate", {"expression": f"void globalThis.waAgent?.releaseMedia({json.dumps(key)})"})


async def _open(page: WhatsAppPage, key: str, group: str, most_bytes: int, within_s: float) -> str:
    """The handle of the file's Blob in the page."""
    deadline = round((time.time() + within_s) * 1000)  # one machine, one clock
    expression = f"globalThis.waAgent ? waAgent.openMedia({json.dumps(key)}, {most_bytes}, {deadline}) : null"
    answer = await page.session.call(
        "Runtime.evaluate",
        {"expression": expression, "awaitPromise": True, "objectGroup": group},
        within_s=within_s + ANSWER_WITHIN_S,
    )
    result: dict[str, Any] = answer["result"]
    if "objectId" in result and "exceptionDetails" not in answer:
        return str(result["objectId"])
    if result.get("type") != "string":
        raise PageTimeout("the page has no bridge to ask for a file")
    told = json.loads(result["value"])
    raise MediaRefused(str(told.get("code") or "unknown"), told.get("stage"), told.get("status"))


async def _is_there(page: WhatsAppPage, blob: str) -> bool:
    """Whether the document that holds it is still the tab's."""
    asked = {"objectId": blob, "functionDeclaration": "function () { return true; }", "returnByValue": True}
    try:
        await page.session.call("Runtime.callFunctionOn", asked, within_s=ANSWER_WITHIN_S)
    except ContractError:
        return False
    return True


async def _copy(page: WhatsAppPage, handle: str, target: Path, most_bytes: int) -> int:
    reads: deque[asyncio.Task[dict[str, Any]]] = deque()

    def ask() -> None:
        read = page.session.call("IO.read", {"handle": handle, "size": PIECE}, within_s=PIECE_WITHIN_S)
        reads.append(asyncio.create_task(read))

    size = 0
    # Into the disk's cache: shorter than the way to a thread and back.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(AHEAD):
            ask()
        while reads:
            answer = await reads.popleft()
            size += _write(descriptor, base64.b64decode(answer["data"]))
            if size > most_bytes:
                raise MediaRefused("too_large", None, None)
            if answer["eof"]:
                return size
            ask()
        raise AssertionError("unreachable")
    finally:
        os.close(descriptor)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        _let_go(page, "IO.close", {"handle": handle})


def _write(descriptor: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)


def _let_go(page: WhatsAppPage, method: str, params: dict[str, Any]) -> None:
    """Its answer is not waited for."""
    page.session.send(method, params)
