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

from .requests import ProcessDied, WorkFailed, from_line, to_line

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

        StoreUnavailable, too, when it took too long: the process is ended then, since it may hang; and where none can
        be started. ProcessDied when it died meanwhile.
        """
        child = await self._started()
        try:
            async with asyncio.timeout(within_s):
                found = await child.ask(request, on_note)
        except TimeoutError:
            log.warning("the media process did not answer in time and is ended", request=type(request).__name__)
            error = StoreUnavailable(f"not done within {within_s:g} s")
            child.kill(error)
            raise error from None
        if not isinstance(found, answer):
            raise WorkFailed(f"a {type(found).__name__} came for an answer")
        return found

    async def start(self) -> None:
        """Have it ready before the first request. Raises StoreUnavailable."""
        await self._started()

    async def close(self) -> None:
        """End it. What waits fails with ProcessDied."""
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
        raise StoreUnavailable(f"no process could be started: {error.strerror}") from error


class _Child:
    """One life of the process, and what waits for its answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.reading = asyncio.create_task(self._read())
        self._numbers = 0
        self._has_spoken = False
        self._is_over = False
        self._died_of: Exception | None = None
        self._waiting: dict[int, tuple[asyncio.Future[Any], OnNote]] = {}

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None and not self._is_over

    async def ask(self, request: BaseModel, on_note: OnNote) -> Any:
        if not self.is_alive:
            raise self._death()
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

    def kill(self, cause: Exception | None = None) -> None:
        """What waits fails with the cause, where there is one."""
        self._died_of = self._died_of or cause
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
            # Nobody reads its answers any more; that it has ended is known only later.
            self._is_over = True
            self.kill()
            for future, _ in self._waiting.values():
                if not future.done():
                    future.set_exception(self._death())
        await self.process.wait()

    def _death(self) -> Exception:
        if self._died_of is not None:
            return type(self._died_of)(*self._died_of.args)
        if not self._has_spoken:
            return StoreUnavailable("the process that stores them does not come up: see its log")
        return ProcessDied("the media process died")

    def _take(self, text: bytes) -> None:
        line = from_line(text)
        self._has_spoken = True
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
