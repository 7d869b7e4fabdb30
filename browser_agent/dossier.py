"""What a person needs who is to find out why a session is stuck: all facts, versions, the tail of the page's console
and a picture of the page, kept as private files under the session's folder, the latest few.

The console may hold numbers and texts of messages: it is in the file alone.
"""

import asyncio
import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatsapp_contract.errors import ContractError
from whatsapp_contract.logs import get_logger
from whatsapp_contract.status import Status

from . import screenshots

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

KEPT = 20


async def keep(
    page: "WhatsAppPage | None", status: Status, code: str, stuck_fact: str, session_dir: Path
) -> Path | None:
    """The dossier's path; None where it cannot be written, which the log tells. Without a picture where the page, if
    there is one, shows none."""
    now = datetime.now(UTC)
    document: dict[str, Any] = {
        "code": code,
        "stuck_fact": stuck_fact,
        "at": now.isoformat(),
        "screenshot": await _picture(page, session_dir),
        "status": status.model_dump(mode="json"),
        "console": page.console.lines if page else [],
    }
    path = session_dir / "dossiers" / f"{now:%Y%m%dT%H%M%S.%fZ}-{code}.json"
    try:
        await asyncio.to_thread(_write, path, document)
    except OSError as error:
        log.error("a dossier cannot be written", error=error.strerror)
        return None
    return path


async def _picture(page: "WhatsAppPage | None", session_dir: Path) -> str | None:
    if page is None:
        return None
    with contextlib.suppress(ContractError):
        path, _size = await screenshots.take(page, session_dir / "screenshots")
        return str(path)
    return None


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=1)
    for old in sorted(path.parent.glob("*.json"))[:-KEPT]:
        old.unlink(missing_ok=True)
