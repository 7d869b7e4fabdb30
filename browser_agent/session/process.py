"""Runs the store's work beside the agent: in a process of its own that lives for one request.

boto3, cryptography and zstandard together take more memory than all the rest of the agent, and are needed for seconds
an hour; and a save that hangs can be killed. Only what a directory store is asked before the browser starts runs in a
thread here: it needs none of these, and a person waits for it.
"""

import asyncio
import contextlib
import os
import sys
import threading
from typing import Any

from pydantic import TypeAdapter, ValidationError

from whatsapp_contract.logs import get_logger
from whatsapp_contract.settings import Settings

from . import errors
from .errors import SessionError, StoreUnavailable
from .work import Prepare, Request, Result, Work

log = get_logger(__name__)


class WorkFailed(SessionError):
    """The process broke down: a bug, or it was killed. Its log has the traceback."""

    code = "internal"


async def run_work(settings: Settings, request: Request, within_s: float) -> Result:
    """The result of a request to the session's store.

    Raises SessionError: StoreUnavailable, too, when it took too long (the process is killed then), and WorkFailed.
    """
    if isinstance(request, Prepare) and not settings.wants_s3:
        return await _in_a_thread(settings, request, within_s)
    return await _in_a_process(request, within_s)


async def _in_a_thread(settings: Settings, request: Request, within_s: float) -> Result:
    try:
        async with asyncio.timeout(within_s):
            return await asyncio.to_thread(_alone, Work(settings), request)
    except SessionError:
        raise
    except TimeoutError:
        raise StoreUnavailable(f"not done within {within_s:g} s") from None
    except Exception as error:
        log.exception("the session's work failed with a bug")
        raise WorkFailed(type(error).__name__) from error


# A thread in a disk that hangs cannot be ended, and goes on when that wakes up. Until it has, nothing else is begun:
# it would outrun a later start, and change the profile under that one's browser.
_one_thread = threading.Lock()


def _alone(work: Work, request: Request) -> Result:
    if not _one_thread.acquire(blocking=False):
        raise StoreUnavailable("what was begun before has not ended yet: the disk hangs")
    try:
        return work.do(request)
    finally:
        _one_thread.release()


async def _in_a_process(request: Request, within_s: float) -> Result:
    # With the agent the process is gone, too: a new agent must not meet an old one's save.
    # And a group of its own: what stops the agent gently must not end a save that the stop waits for.
    try:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "browser_agent.session"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:
        raise WorkFailed(f"no process could be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(within_s):
            answer, _ = await process.communicate(to_wire(request))
    except TimeoutError:
        raise StoreUnavailable(f"not done within {within_s:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    result: Result = from_wire(answer)
    return result


# -- the wire between the two: one JSON document each way ----------------------------------------------------------


def to_wire(message: Request | Result) -> bytes:
    return _ANY.dump_json({"kind": type(message).__name__, "body": message.model_dump(mode="json")})


def error_to_wire(error: SessionError) -> bytes:
    return _ANY.dump_json({"kind": "error", "body": {"name": type(error).__name__, "message": str(error)}})


def from_wire(text: bytes) -> Any:
    """The request or result in a document; an error in it is raised."""
    from . import work

    try:
        document = _ANY.validate_json(text)
        kind, body = document["kind"], document["body"]
    except (ValidationError, KeyError, TypeError):
        raise WorkFailed("the session's process ended without an answer") from None
    if kind != "error":
        return getattr(work, kind).model_validate(body)
    raise getattr(errors, body["name"], WorkFailed)(body["message"])


_ANY: TypeAdapter[Any] = TypeAdapter(Any)
