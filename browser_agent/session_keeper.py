"""Keeps the session safe: prepares it before a browser starts, saves it while it is known to be good, ends it in the
store when it is logged out. What is done with the store is in session/.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from whatsapp_contract.backoff import Backoff
from whatsapp_contract.errors import (
    BrowserGone,
    ContractError,
    Internal,
    NotReady,
    PageCrashed,
    PageTimeout,
    Refused,
    StoreUnavailable,
)
from whatsapp_contract.events import AlertData, EventType, SessionRestoredData, SessionSavedData
from whatsapp_contract.logs import get_logger
from whatsapp_contract.settings import Settings

from .browser_keeper import BrowserKeeper
from .event_log import EventLog
from .fence import Fence
from .session import errors
from .session.errors import SessionError
from .session.local_profile import LocalProfile
from .session.local_storage import KeptLocalStorage, write_private
from .session.manifest import FOLLOW, LOCAL_STORAGE, SENDING, WATERMARKS
from .session.pointer import Generation
from .session.process import run_work
from .session.snapshot import BrowserMoved, Staged, stage
from .session.stores import open_store
from .session.to_bury import ToBury
from .session.work import Bury, Prepare, Prepared, Request, Save, Saved

log = get_logger(__name__)

PREPARE_WITHIN_S = 180.0
SAVE_WITHIN_S = 120.0
BURY_WITHIN_S = 20.0
FIRST_SAVE_AFTER_S = 60.0
BURY_AGAIN_AFTER_S = 30.0

if TYPE_CHECKING:
    from .follow import Follow
    from .sending.standing import Standing
    from .watermarks import Watermarks
    from .whatsapp.chromium import Chromium

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
        aside: Callable[[Coroutine[Any, Any, None]], None],
        on_trouble: Callable[[str], None],
        on_restored: Callable[[], None],
    ) -> None:
        self.problem: str | None = None
        self.watermarks: Watermarks | None = None  # go into every snapshot, and lie beside the profile
        self.standing: Standing | None = None  # as they do
        self.follow: Follow | None = None
        self.outrun = asyncio.Event()  # the store says that another agent has claimed the session
        self.store = open_store(settings).location
        self.newest: Generation | None = None
        self.last_saved: SessionSavedData | None = None  # in this life
        self._settings = settings
        self._fence = fence
        self._event_log = event_log
        self._browser = browser
        self._aside = aside
        self._on_trouble = on_trouble
        self._on_restored = on_restored
        self._local = LocalProfile(settings.session_dir)
        self._browser_version: str | None = None
        self._wa_js_version: str | None = None
        self._prepared = False
        self._registered = False  # known since the last ready, and not unlinked since
        self._soon = asyncio.Event()
        self._lock = asyncio.Lock()
        self._storage = KeptLocalStorage(self._local.local_storage)
        self._to_bury = ToBury(settings.session_dir)

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
        return self._storage.kept()

    def on_local_storage_given(self) -> None:
        """The page holds it now; the disk will have it in a while."""
        self._storage.forget_later()

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
        self._registered = True
        if self._browser.page is not None:
            self._wa_js_version = self._browser.page.snapshot.wa_js
        self._to_bury.forget()
        self._aside(asyncio.to_thread(self._local.proven))
        self._aside(self._storage.keep(self._dump))

    def on_account_lost(self) -> None:
        """Unlinked, whoever did it. What is in the store stays there."""
        self._registered = False
        self._storage.forget()

    def on_browser_starting(self) -> None:
        """The browser, or its page, is coming up: what was kept for it has to wait until it has it."""
        self._storage.hold()

    def on_closed(self) -> None:
        """The last browser of this life is gone."""
        if self._browser.closed_properly:
            self._storage.forget()

    # -- saving ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Save soon after the first ready, and then in intervals, until cancelled."""
        interval_s = self._settings.backup_interval_ms / 1000
        while True:
            cause, wait_s = "interval", interval_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BURY_AGAIN_AFTER_S if self._to_bury.cause else interval_s):
                    await self._soon.wait()
                    cause, wait_s = "first_ready", min(FIRST_SAVE_AFTER_S, interval_s)
            if cause == "first_ready":
                self._soon.clear()
                await asyncio.sleep(wait_s)
            if self._to_bury.cause is not None and self._prepared:
                await self.bury(self._to_bury.cause)
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
        started = time.monotonic()
        folder = self._settings.session_dir / f"staging-{secrets.token_hex(4)}"
        within_s = max(within_s, 0.1)
        try:
            async with asyncio.timeout(within_s), self._lock:
                staged = await self._stage(folder)
                request = Save(
                    folder=folder,
                    epoch=self._fence.epoch,
                    cause=cause,
                    browser_version=self._browser_version,
                    wa_js_version=self._wa_js_version,
                )
                saved = await self._work(request, Saved, within_s)
        except SessionError as error:
            raise self._save_failed(error) from error
        except TimeoutError as error:
            raise self._save_failed(errors.StoreUnavailable(f"not saved within {within_s:.1f} s")) from error
        except OSError as error:
            raise self._save_failed(errors.DiskTrouble(str(error.strerror))) from error
        finally:
            await _to_the_end(shutil.rmtree, folder, True)
        self._over("The session is saved again")
        return self._tell_saved(saved, staged, cause, _ms_since(started))

    async def bury(self, cause: str) -> None:
        """The account was logged out on purpose: end the session in the store. Tried again while that fails."""
        self._registered = False
        self._to_bury.note(cause)
        try:
            async with asyncio.timeout(BURY_WITHIN_S), self._lock:
                await self._work(Bury(epoch=self._fence.epoch, cause=cause), BaseModel, BURY_WITHIN_S)
        except (SessionError, TimeoutError) as error:
            trouble = error if isinstance(error, SessionError) else errors.StoreUnavailable("no answer in time")
            self._tell_trouble(trouble, "The session was logged out, but its archives cannot be deleted yet")
            return
        self._to_bury.forget()
        self.newest = None
        log.info("the session was ended in its store", cause=cause)

    async def _stage(self, folder: Path) -> Staged:
        if not self._registered:
            raise NotReady("the account is not known to be registered: there is nothing good to save")
        dump = None
        if self._browser.page is not None:
            with contextlib.suppress(ContractError):  # a page that hangs: what was kept is all there is
                dump = await self._dump()
        dump = dump or self._storage.kept()
        if dump is None and not self._browser.closed_properly and not self._storage.is_on_the_disk:
            raise NotReady("the account was just paired, and what the page knows of it cannot be had")
        chromium = self._browser.chromium
        self._must_be_at_rest(chromium)
        try:
            pid = chromium.pid if chromium else None
            staged: Staged = await _to_the_end(stage, self._local.path, folder, pid)
        except BrowserMoved as error:
            raise BrowserGone(str(error)) from None
        self._must_be_at_rest(chromium)
        await self._must_still_be_paired()
        if dump is not None:
            await _to_the_end(write_private, folder / LOCAL_STORAGE, dump)
        if self.watermarks is not None and (marks := self.watermarks.dump()) is not None:
            await _to_the_end(write_private, folder / WATERMARKS, marks)
            await _to_the_end(self.watermarks.save)
        if self.standing is not None and (standing := await self.standing.dump()) is not None:
            await _to_the_end(write_private, folder / SENDING, standing)
        if self.follow is not None:
            await _to_the_end(write_private, folder / FOLLOW, self.follow.dump())
        return staged

    def _must_be_at_rest(self, chromium: "Chromium | None") -> None:
        """A browser that is just starting or ending writes to the profile and cannot be made to stand still."""
        if self._browser.chromium is not chromium or (chromium is None and self._browser.profile_in_use):
            raise BrowserGone("the browser is just starting or ending")

    async def _must_still_be_paired(self) -> None:
        """What happened while the browser stood still is only told after it."""
        if self._browser.page is not None:
            with contextlib.suppress(PageTimeout, PageCrashed):
                snapshot = await self._browser.page.probe()
                if not snapshot.injected or not (snapshot.registered or snapshot.authenticated):
                    raise NotReady("the page does not say that the account is registered")
        if not self._registered:
            raise NotReady("the account was unlinked meanwhile")

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
        self.last_saved = data
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

    def _save_failed(self, error: SessionError) -> ContractError:
        self._tell_trouble(error, "The session cannot be saved")
        return _on_the_wire(error)

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


async def _to_the_end(work: Callable[..., Any], *args: Any) -> Any:
    """Work of a thread, which is waited for also when we are cancelled: it may not go on behind our back."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
