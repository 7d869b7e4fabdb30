"""One file from the page into our folder, or why not."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from whatsapp_contract.errors import BrowserGone, ContractError, NotReady, PageCrashed, PageTimeout
from whatsapp_contract.logs import get_logger
from whatsapp_contract.media_record import MediaRecord

from .files import Files
from .policy import Problem

if TYPE_CHECKING:
    from browser_agent.whatsapp.page import WhatsAppPage

log = get_logger(__name__)

UNKNOWN_SIZE = 16 * 1024 * 1024  # reckoned for a file whose size nobody told
SLOWEST_BYTES_PER_S = 100 * 1024
FETCH_WITHIN_S = 60.0  # and what the size takes at the slowest
LONGEST_FETCH_S = 1800.0

# The media server has it no more; while REUPLOADING the page has asked the sender's phone for it.
_GONE_STAGES = frozenset({"ERROR_MISSING", "ERROR_NEED_UPLOAD", "REUPLOADING", "NEED_UPLOAD"})
_GONE_STATUSES = frozenset({404, 410})


class Fetching:
    """`on_bad_disk` is called once when our own disk begins to fail."""

    def __init__(
        self,
        files: Files,
        max_bytes: int,
        page: "Callable[[], WhatsAppPage]",
        is_ready: Callable[[], bool],
        on_bad_disk: Callable[[OSError], None],
    ) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._page = page
        self._is_ready = is_ready
        self._on_bad_disk = on_bad_disk
        self._disk_is_bad = False

    async def fetch(self, record: MediaRecord) -> Problem | None:
        """None where all of it is there."""
        from browser_agent.whatsapp.cdp import ChromiumRefused
        from browser_agent.whatsapp.media import MediaRefused

        try:
            await self._copy(record)
        except MediaRefused as refused:
            return self._problem_of(refused.code, refused.stage, refused.status)
        except (PageCrashed, BrowserGone):
            return Problem.CRASHED
        except NotReady:
            return Problem.INTERRUPTED
        except ChromiumRefused as error:
            log.warning("the browser does not hand out a file", error=str(error))
            return Problem.UNFETCHABLE if self._is_ready() else Problem.INTERRUPTED
        except PageTimeout:
            return Problem.UNFETCHABLE if self._is_ready() else Problem.INTERRUPTED
        except ContractError as error:
            log.warning("a file could not be fetched", error=str(error))
            return Problem.UNFETCHABLE
        except OSError as error:
            if not self._disk_is_bad:
                log.error("files cannot be written to this machine's disk", error=error.strerror)
                self._on_bad_disk(error)
            self._disk_is_bad = True
            return Problem.NO_DISK
        self._disk_is_bad = False
        return None

    async def _copy(self, record: MediaRecord) -> None:
        from browser_agent.whatsapp.media import read_media, release_media

        if not self._is_ready():
            raise NotReady("the session left ready")
        page = self._page()
        size = record.size or UNKNOWN_SIZE
        within_s = min(FETCH_WITHIN_S + size / SLOWEST_BYTES_PER_S, LONGEST_FETCH_S)
        try:
            target = self._files.begin(record.key)
            await read_media(page, record.key, target, self._max_bytes, within_s)
            self._files.complete(record.key)
        finally:
            release_media(page, record.key)

    def _problem_of(self, code: str, stage: str | None, status: int | None) -> Problem:
        if code == Problem.TOO_LARGE:
            return Problem.TOO_LARGE
        if not self._is_ready():
            return Problem.INTERRUPTED
        if stage in _GONE_STAGES or status in _GONE_STATUSES:
            return Problem.GONE
        log.info("the page could not fetch a file", code=code, stage=stage)
        return Problem.UNFETCHABLE
