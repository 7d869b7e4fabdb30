"""/api/sessions: the session in its store, asked by the command line in a process of its own."""

import asyncio
import json
import sys
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from web.here import Here
from web.problems import Problem
from whatsapp_contract.arguments import CauseArgs
from whatsapp_contract.results import BackupResult

LIST_WITHIN_S = 30.0
VERIFY_WITHIN_S = 300.0
GENERATION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
# Of browser_agent/session/errors.py and the command line; any other is the store's trouble.
_STATUS_BY_CODE = {"not_found": 404, "not_in_store": 404, "bad_archive": 409, "newer_format": 409, "wrong_key": 409}


class Snapshot(BaseModel):
    """One generation of the browser's profile, as it was stored and verified."""

    id: str
    epoch: int
    created_at: AwareDatetime
    verified_at: AwareDatetime
    cause: str
    stored_bytes: int
    profile_bytes: int
    files: int


class Snapshots(BaseModel):
    """Newest first. `store` is where they are."""

    store: str
    generations: list[Snapshot]


class Verified(BaseModel):
    """A generation was read back whole and opened."""

    generation: str
    files: int
    bytes: int


class VerifyArgs(BaseModel):
    """Which one; the newest if it is not named."""

    model_config = ConfigDict(extra="forbid")

    generation: Annotated[str, StringConstraints(pattern=GENERATION_PATTERN)] | None = None


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/sessions", tags=["sessions"])
    store = _Store()

    @router.get("", dependencies=[Depends(here.gate.view)])
    async def snapshots() -> Snapshots:
        """What the store holds of the session."""
        return Snapshots.model_validate(await store.ask(["list"], LIST_WITHIN_S))

    @router.post("/verify", dependencies=[Depends(here.gate.act)])
    async def verify(args: Annotated[VerifyArgs, Body(default_factory=VerifyArgs)]) -> Verified:
        """Read a generation back and open it; 409 where it is not whole, or no key opens it."""
        which = [f"--generation={args.generation}"] if args.generation else []
        return Verified.model_validate(await store.ask(["verify", *which], VERIFY_WITHIN_S))

    @router.post("/backup", dependencies=[Depends(here.gate.act)])
    async def backup(args: Annotated[CauseArgs, Body(default_factory=CauseArgs)]) -> BackupResult:
        """Have the session saved now."""
        result = await here.client.call("backup", args.model_dump())
        assert isinstance(result, BackupResult)
        return result

    return router


class _Store:
    """One question at a time: each is a process with the store's library."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def ask(self, words: list[str], within_s: float) -> dict[str, Any]:
        """The document that the command line answers with. Raises Problem for what it fails with."""
        if self._lock.locked():
            raise Problem(409, "busy", "the store is being asked already", retryable=True)
        async with self._lock:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cli",
                "session",
                *words,
                "--json",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(within_s):
                    told, _ = await process.communicate()
            except TimeoutError:
                raise Problem(504, "store_unavailable", "the store did not answer in time", retryable=True) from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        document = _document(told)
        if "error" in document or process.returncode:
            error = document.get("error") or {}
            code = str(error.get("code", "store_unavailable"))
            detail = error.get("message") or f"the command line ended with {process.returncode}"
            status = _STATUS_BY_CODE.get(code, 503)
            raise Problem(status, code, detail, retryable=status == 503)
        return document


def _document(told: bytes) -> dict[str, Any]:
    try:
        document = json.loads(told.splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
