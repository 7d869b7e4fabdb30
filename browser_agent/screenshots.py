"""Pictures of the page, kept for a person to look at: private files, the latest few."""

import asyncio
import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from whatsapp_contract.errors import StoreUnavailable

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

KEPT = 20
WITHIN_S = 6.0


async def take(page: "WhatsAppPage", folder: Path) -> tuple[Path, int]:
    """The picture's path and its size in bytes. Raises PageTimeout, PageCrashed, BrowserGone, StoreUnavailable."""
    answer = await page.session.call("Page.captureScreenshot", {"format": "png"}, within_s=WITHIN_S)
    png = base64.b64decode(answer["data"])
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.png"
    try:
        await asyncio.to_thread(_keep, path, png)
    except OSError as error:
        raise StoreUnavailable(f"the picture cannot be written: {error.strerror}") from error
    return path, len(png)


def _keep(path: Path, png: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(png)
    for old in sorted(path.parent.glob("*.png"))[:-KEPT]:
        old.unlink(missing_ok=True)
