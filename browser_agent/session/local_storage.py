"""The page's localStorage, kept beside the profile while the disk may not have it.

Chromium writes localStorage to the disk up to 60 s late (measured). An account that was just paired is lost with a
browser that is killed before, unless the next one is given what the page held.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from whatsapp_contract.errors import ContractError

LAGS_S = 90.0


class KeptLocalStorage:
    """A file that is there as long as it may be needed."""

    def __init__(self, path: Path) -> None:
        self.is_on_the_disk = False  # what the page held at the last ready is in the profile by now
        self._path = path
        self._forgetting: asyncio.TimerHandle | None = None
        self._number = 0  # of the last wish, so that an older one does not end after it

    def kept(self) -> str | None:
        """JSON for the next browser's first document; None where the profile has it all."""
        try:
            return self._path.read_text()
        except OSError:
            return None

    async def keep(self, dump: Callable[[], Awaitable[str | None]]) -> None:
        """Take a dump now, kept until the disk is sure to have it. A page that does not answer changes nothing."""
        self._number += 1
        number, self.is_on_the_disk = self._number, False
        try:
            text = await dump()
        except ContractError:
            text = None
        if number != self._number:
            return
        if text is not None:
            write_private(self._path, text)
        self.forget_later()

    def forget_later(self) -> None:
        """The page holds it: the disk will have it in LAGS_S."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(LAGS_S, self._forget_now)

    def hold(self) -> None:
        """The browser that held it is gone: it stays until the next one has it."""
        if self._forgetting is not None:
            self._forgetting.cancel()

    def forget(self) -> None:
        """It is of no use any more."""
        self._number += 1
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._path.unlink(missing_ok=True)

    def _forget_now(self) -> None:
        self.is_on_the_disk = True
        self._path.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Readable by us alone, and whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.touch(mode=0o600)
    beside.write_text(text)
    beside.rename(path)
