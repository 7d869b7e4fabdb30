"""Keeps the session safe: prepares it before a browser starts, saves it while it is known to be good, ends it in the
store when it is logged out. What is done with the store is in session/.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from whatsapp_contract.errors import BrowserGone, ContractError, Internal, NotReady, Refused, StoreUnavailable
from whatsapp_contract.events import AlertData, EventType, SessionRestoredData, SessionSavedData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.settings import Settings

from .backoff import Backoff
from .browser_keeper import BrowserKeeper
from .event_log import EventLog
from .fence import Fence
from .session import errors
from .session.errors import SessionError
from .session.local_profile import LocalProfile
from .session.pointer import Generation
from .session.process import run_work
from .session.snapshot import BrowserMoved, Staged, stage
from .session.stores import open_store
from .session.work import Bury, Prepare, Prepared, Request, Save, Saved

log = get_logger(__name__)

PREPARE_WITHIN_S = 180.0
SAVE_WITHIN_S = 120.0
BURY_WITHIN_S = 20.0
FIRST_SAVE_AFTER_S = 60.0
# Chromium writes localStorage to the disk up to 60 s late (measured).
LOCAL_STORAGE_LAGS_S = 90.0

_Result = TypeVar("_Result", bound=BaseModel)


class SessionKeeper:
    """One per agent. `on_trouble` is told why the session cannot be prepared at present, by its code; `on_restored`
    that the profile is now one of an account."""

    def __init__(
        self,
        settings: Settings,
        fence: Fence,
        event_log: EventLog,
        browser: BrowserKeeper,
        on_trouble: Callable[[str], None],
        on_restored: Callable[[], None],
    ) -> None:
        self.problem: str | None = None
        self.outrun = asyncio.Event()  # the store says that another agent has claimed the session
        self.store = open_store(settings).location
        self.newest: Generation | None = None
        self._settings = settings
        self._fence = fence
        self._event_log = event_log
        self._browser = browser
        self._on_trouble = on_trouble
        self._on_restored = on_restored
        self._local = LocalProfile(settings.session_dir)
        self._browser_version: str | None = None
        self._prepared = False
        self._registered = False  # known since the last ready, and not unlinked since
        self._buries: str | None = None  # the cause of a logout that the store has not been told yet
        self._soon = asyncio.Event()
        self._lock = asyncio.Lock()
        self._dumping: asyncio.Task[None] | None = None

    # -- before a browser starts -------------------------------------------------------------------------------------

    async def prepare(self, browser_version: str) -> None:
        """Once in an agent's life, before its first browser: have the session's profile in place, and its epoch.

        Waits as long as that takes: a store that cannot be reached, or read, may hold a session.
        """
        self._browser_version = browser_version
        if self._prepared:
            return
        backoff = Backoff(1.0, 60.0)
        started = time.monotonic()
        while True:
            request = Prepare(epoch=self._fence.epoch, browser_version=browser_version)
            try:
                prepared = await self._work(request, Prepared, PREPARE_WITHIN_S)
                break
            except SessionError as error:
                self._tell_trouble(error, "The session cannot be restored")
                self._on_trouble(error.code)
                await asyncio.sleep(backoff.next_s())
        if prepared.epoch > self._fence.epoch:
            await self._fence.take(prepared.epoch)
        self._prepared = True
        self._over("The session is prepared")
        self._tell_prepared(prepared, _ms_since(started))

    def local_storage(self) -> str | None:
        """A dump of the page's localStorage that the profile on disk may not have yet; for the next browser."""
        try:
            return self._local.local_storage.read_text()
        except OSError:
            return None

    def on_local_storage_given(self) -> None:
        self._local.local_storage.unlink(missing_ok=True)

    def _tell_prepared(self, prepared: Prepared, took_ms: float) -> None:
        self.newest = prepared.newest
        if prepared.damaged:
            self._alert(
                "session_damaged",
                f"Generations of the session that could not be used: {'; '.join(prepared.damaged)}. "
                + ("The one before was restored." if prepared.restored else "None is left that could be restored."),
            )
        if not prepared.store_fences:
            self._alert(
                "store_does_not_fence",
                f"{self.store} does not refuse a conditional write (If-Match) of a wrong version: it cannot keep two "
                "agents of one session apart. Never run two.",
            )
        if self._settings.wants_s3 and self._settings.session_encryption_key is None:
            log.warning("archives of the session are protected by the bucket alone; SESSION_ENCRYPTION_KEY is not set")
        if (restored := prepared.restored) is not None:
            self._on_restored()
            log.info("the session was restored", generation=restored.id, took_ms=took_ms)
            self._event_log.publish(
                EventType.SESSION_RESTORED,
                SessionRestoredData(
                    generation=restored.id,
                    generation_epoch=restored.epoch,
                    created_at=restored.created_at,
                    stored_bytes=restored.stored_bytes,
                    passed_over=list(prepared.damaged),
                    took_ms=took_ms,
                ),
            )

    # -- what the session goes through -------------------------------------------------------------------------------

    def on_ready(self) -> None:
        """The account is registered, on this profile."""
        if not self._registered:
            self._soon.set()
        self._registered, self._buries = True, None
        self._local.proven()
        if self._dumping is None or self._dumping.done():
            self._dumping = asyncio.create_task(self._keep_local_storage())

    def on_account_lost(self) -> None:
        """Unlinked, whoever did it. What is in the store stays there."""
        self._registered = False
        self._forget_local_storage()

    def on_closed(self) -> None:
        """The page was closed properly, which writes its localStorage."""
        self._forget_local_storage()

    async def _keep_local_storage(self) -> None:
        """Until the disk is sure to have what the page holds now, keep it beside the profile: a browser that is killed
        meanwhile would else have lost the account that was just paired."""
        with contextlib.suppress(ContractError, OSError):
            dump = await self._dump()
            if dump is None:
                return
            await asyncio.to_thread(_write_private, self._local.local_storage, dump)
            await asyncio.sleep(LOCAL_STORAGE_LAGS_S)
            self.on_local_storage_given()

    def _forget_local_storage(self) -> None:
        if self._dumping is not None:
            self._dumping.cancel()
        self.on_local_storage_given()

    # -- saving ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Save soon after the first ready, and then in intervals, until cancelled."""
        interval_s = self._settings.backup_interval_ms / 1000
        while True:
            cause, wait_s = "interval", interval_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._soon.wait()
                    cause, wait_s = "first_ready", min(FIRST_SAVE_AFTER_S, interval_s)
            if cause == "first_ready":
                self._soon.clear()
                await asyncio.sleep(wait_s)
            if self._buries is not None:
                await self.bury(self._buries)
            await self.save_if_known_good(cause)

    async def save_if_known_good(self, cause: str, within_s: float = SAVE_WITHIN_S) -> None:
        """Save unless the account is not known to be registered; trouble is told, not raised."""
        if not self._registered:
            return
        try:
            await self.save(cause, within_s)
        except ContractError as error:
            log.warning("the session was not saved", cause=cause, code=error.code, error=str(error))

    async def save(self, cause: str, within_s: float = SAVE_WITHIN_S) -> SessionSavedData:
        """Make the session as it is now the newest generation; one save at a time.

        Raises NotReady unless the account has been ready and was not unlinked since, BrowserGone when the browser
        ended meanwhile, StoreUnavailable, and Refused when another agent has claimed the session.
        """
        async with self._lock:
            started = time.monotonic()
            folder = self._settings.session_dir / f"staging-{secrets.token_hex(4)}"
            try:
                async with asyncio.timeout(within_s):
                    staged = await self._stage(folder)
                request = Save(
                    folder=folder,
                    epoch=self._fence.epoch,
                    cause=cause,
                    browser_version=self._browser_version,
                    wa_js_version=self._browser.page.snapshot.wa_js if self._browser.page else None,
                )
                saved = await self._work(request, Saved, within_s - (time.monotonic() - started))
            except SessionError as error:
                self._tell_trouble(error, "The session cannot be saved")
                raise _on_the_wire(error) from error
            except TimeoutError:
                raise StoreUnavailable(f"not saved within {within_s:g} s") from None
            except OSError as error:
                trouble = errors.DiskTrouble(f"{error.strerror}")
                self._tell_trouble(trouble, "The session cannot be saved")
                raise _on_the_wire(trouble) from error
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            self._over("The session is saved again")
            return self._tell_saved(saved, staged, cause, _ms_since(started))

    async def bury(self, cause: str) -> None:
        """The account was logged out on purpose: end the session in the store. Tried again while that fails."""
        self._registered, self._buries = False, cause
        try:
            async with self._lock:
                await self._work(Bury(epoch=self._fence.epoch, cause=cause), BaseModel, BURY_WITHIN_S)
        except SessionError as error:
            self._tell_trouble(error, "The session was logged out, but its archives cannot be deleted yet")
            return
        self._buries = self.newest = None
        log.info("the session was ended in its store", cause=cause)

    async def _stage(self, folder: Path) -> Staged:
        if not self._registered:
            raise NotReady("the account is not known to be registered: there is nothing good to save")
        dump = None
        if self._browser.page is not None:
            with contextlib.suppress(ContractError):  # a page that hangs: its disk is all there is
                dump = await self._dump()
        chromium = self._browser.chromium
        pid = chromium.pid if chromium else None
        try:
            staged = await asyncio.to_thread(stage, self._local.path, folder, pid)
        except BrowserMoved as error:
            raise BrowserGone(str(error)) from None
        if self._browser.chromium is not chromium:
            raise BrowserGone("another browser was started meanwhile")
        if not self._registered:
            raise NotReady("the account was unlinked meanwhile")
        if dump is not None:
            await asyncio.to_thread(_write_private, folder / "local-storage.json", dump)
        return staged

    async def _dump(self) -> str | None:
        page = self._browser.page
        return None if page is None else json.dumps(await page.local_storage(), sort_keys=True)

    def _tell_saved(self, saved: Saved, staged: Staged, cause: str, took_ms: float) -> SessionSavedData:
        generation = saved.generation
        self.newest = generation
        data = SessionSavedData(
            generation=generation.id,
            cause=cause,
            is_new=saved.is_new,
            stored_bytes=generation.stored_bytes,
            profile_bytes=generation.profile_bytes,
            encrypted=generation.encrypted_with is not None,
            stood_still_ms=staged.stood_still_ms,
            took_ms=took_ms,
        )
        self._event_log.publish(EventType.SESSION_SAVED, data)
        return data

    # -- details -----------------------------------------------------------------------------------------------------

    async def _work(self, request: Request, kind: type[_Result], within_s: float) -> _Result:
        """Raises SessionError."""
        try:
            result: Any = await run_work(self._settings, request, max(within_s, 0.1))
        except errors.Outrun as error:
            log.error("the store says that another agent has claimed this session", error=str(error))
            self.outrun.set()
            raise
        assert isinstance(result, kind)
        return result

    def _tell_trouble(self, error: SessionError, what: str) -> None:
        """One alert for a condition, however often it is met again."""
        if isinstance(error, errors.Outrun):
            return
        if self.problem == error.code:
            return
        self.problem = error.code
        log.error("trouble with the session's store", code=error.code, error=str(error))
        self._alert(error.code, f"{what}: {error}")

    def _over(self, sentence: str) -> None:
        if self.problem is not None:
            log.info(sentence, after=self.problem)
        self.problem = None

    def _alert(self, code: str, message: str) -> None:
        self._event_log.publish(EventType.ALERT, AlertData(code=code, message=message))


def _on_the_wire(error: SessionError) -> ContractError:
    """As a caller is told."""
    if isinstance(error, errors.Outrun):
        return Refused(str(error))
    if isinstance(error, (errors.StoreUnavailable, errors.DiskTrouble)):
        return StoreUnavailable(str(error))
    return Internal(str(error))


def _write_private(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.touch(mode=0o600)
    beside.write_text(text)
    beside.rename(path)


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
