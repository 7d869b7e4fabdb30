"""The child process that keeps files: boto3 takes more memory than the rest of the agent, whose memory is a figure.

One, started with the first request and again when it died; it ends with the agent, also when that is killed.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from browser_agent.session.errors import StoreUnavailable
from whatsapp_contract.logs import get_logger

from .requests import WorkFailed, from_line, to_line

log = get_logger(__name__)

_Answer = TypeVar("_Answer", bound=BaseModel)

LINE_AT_MOST = 1 << 20

OnNote = Callable[[Any], None]


class MediaProcess:
    """One per agent. `close` it. `environ` is what its settings are read from."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._child: _Child | None = None
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """None while there is none."""
        return self._child.process.pid if self._child is not None and self._child.is_alive else None

    async def ask(
        self,
        request: BaseModel,
        answer: type[_Answer],
        within_s: float,
        on_note: OnNote = lambda _note: None,
    ) -> _Answer:
        """The answer to a request. Raises what the child raised: MediaWorkError, SessionError, ContractError.

        StoreUnavailable, too, when it took too long: the process is ended then, since it may hang. WorkFailed when it
        died or cannot be started.
        """
        child = await self._started()
        try:
            async with asyncio.timeout(within_s):
                found = await child.ask(request, on_note)
        except TimeoutError:
            log.warning("the media process did not answer in time and is ended", request=type(request).__name__)
            child.kill()
            raise StoreUnavailable(f"not done within {within_s:g} s") from None
        if not isinstance(found, answer):
            raise WorkFailed(f"a {type(found).__name__} came for an answer")
        return found

    async def start(self) -> None:
        """Have it ready before the first request. Raises WorkFailed."""
        await self._started()

    async def close(self) -> None:
        """End it. What waits fails with WorkFailed."""
        if self._child is not None:
            self._child.kill()
            await asyncio.wait([self._child.reading], timeout=1.0)

    async def _started(self) -> "_Child":
        async with self._starting:
            if self._child is None or not self._child.is_alive:
                self._child = _Child(await _start(self._environ))
            return self._child


async def _start(environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    # A group of its own: what stops the agent gently must not end an upload that may still be done.
    try:
        return await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "browser_agent.media"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
            limit=LINE_AT_MOST,
            env={**environ, "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:
        raise WorkFailed(f"no process could be started: {error.strerror}") from error


class _Child:
    """One life of the process, and what waits for its answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.reading = asyncio.create_task(self._read())
        self._numbers = 0
        self._waiting: dict[int, tuple[asyncio.Future[Any], OnNote]] = {}

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None and not self.reading.done()

    async def ask(self, request: BaseModel, on_note: OnNote) -> Any:
        if not self.is_alive:
            raise WorkFailed("the media process died")
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (future, on_note)
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(to_line(number, request))
            return await future
        finally:
            del self._waiting[number]

    def kill(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while text := await self.process.stdout.readline():
                self._take(text)
        except ValueError as error:
            log.error("the media process said what cannot be read", error=str(error))
        finally:
            self.kill()
            for future, _ in self._waiting.values():
                if not future.done():
                    future.set_exception(WorkFailed("the media process died"))
        await self.process.wait()

    def _take(self, text: bytes) -> None:
        line = from_line(text)
        if line.number not in self._waiting:
            return
        future, on_note = self._waiting[line.number]
        if line.is_note:
            on_note(line.message)
        elif not future.done():
            if isinstance(line.message, Exception):
                future.set_exception(line.message)
            else:
                future.set_result(line.message)
