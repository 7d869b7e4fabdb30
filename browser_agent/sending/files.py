"""Files on their way out: fetched by a process that lives for one of them, and kept on the disk until the message is
gone, since the page reads them there."""

import asyncio
import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from browser_agent.whatsapp.outgoing import FileOut, FileType
from whatsapp_contract.errors import Refused, StoreUnavailable
from whatsapp_contract.log_context import send_ref
from whatsapp_contract.logs import get_logger
from whatsapp_contract.send_record import SendRecord

from .outcome import MOST_FAILURES
from .source.content import Fetched
from .source.rules import Rules

log = get_logger(__name__)

FETCH_WITHIN_S = 60.0
AT_ONCE = 2
WAITING_AT_MOST = 8  # files that lie here and are not on their way yet
_STARTING_S = 5.0
NO_SUCH_HOST_TRIES = 3  # within half a minute
_PAGES = ("text/html", "application/xhtml+xml")


class SourceFailed(Exception):
    """The file cannot be had. `tries_at_most`: after so many no further one would change that."""

    def __init__(self, code: str, message: str, *, no_such_host: bool = False) -> None:
        super().__init__(message)
        self.code = code
        if no_such_host:
            self.tries_at_most = NO_SUCH_HOST_TRIES
        else:
            self.tries_at_most = MOST_FAILURES if code == StoreUnavailable.code else 1


class _Failure(BaseModel):
    error: str
    message: str
    no_such_host: bool = False


@dataclass(frozen=True)
class _Kept:
    path: Path
    fetched: Fetched


class Files:
    """One per agent; `folder` is its own, and is emptied."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self.rules = rules
        self._folder = folder
        self._kept: dict[str, _Kept] = {}
        self._waiting: set[str] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self.clear()

    def has_room(self, key: str) -> bool:
        """Whether one more file may be fetched now; many that wait must not fill the disk."""
        return key in self._kept or key in self._waiting or len(self._waiting) < WAITING_AT_MOST

    def begun(self, key: str) -> None:
        """The page has it now."""
        self._waiting.discard(key)

    async def get(self, record: SendRecord) -> FileOut:
        """The file of a send, fetched where it is not here yet. Raises SourceFailed."""
        key = record.idempotency_key
        if key not in self._kept:
            self._waiting.add(key)
            try:
                async with self._room:
                    self._kept[key] = await self._fetch(record)
            finally:
                if key not in self._kept:
                    self._waiting.discard(key)
        kept, args = self._kept[key], record.args
        mimetype = args["mimetype"] or kept.fetched.mimetype
        if is_page_by_mistake(args, mimetype):
            raise SourceFailed(
                Refused.code,
                "the source is a web page; `kind` `document` sends it all the same, if it is meant",
            )
        if not fits(args["kind"], mimetype):
            raise SourceFailed(Refused.code, f"a file of the type {mimetype} cannot be sent as {args['kind']}")
        file_type, voice = file_type_of(args["kind"], mimetype)
        return FileOut(
            kept.path, file_type, mimetype, args["filename"] or kept.fetched.filename, args["caption"], voice
        )

    def drop(self, key: str) -> None:
        """The send has its end."""
        self._waiting.discard(key)
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """What a former life has left."""
        self._kept.clear()
        self._waiting.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _fetch(self, record: SendRecord) -> _Kept:
        path = self._folder / record.message_id
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _Kept(path, await _in_a_process(record.args["source"], path, self.rules))
        except SourceFailed as failure:
            path.unlink(missing_ok=True)
            ref = send_ref(record.idempotency_key)
            log.warning("a file to be sent cannot be had", send=ref, code=failure.code, error=str(failure))
            raise
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise SourceFailed(StoreUnavailable.code, f"the disk: {error.strerror}") from error
            raise


def is_page_by_mistake(args: dict[str, Any], mimetype: str) -> bool:
    """Servers answer 200 with a page, too, where they ask for a login or have not what was asked for."""
    is_of_a_server = args["source"][:4].lower() == "http"
    return is_of_a_server and args["kind"] == "auto" and args["mimetype"] is None and mimetype in _PAGES


def fits(kind: str, mimetype: str) -> bool:
    """Whether a file of this type can be what it is to be sent as; anything can be a document."""
    if kind == "sticker":
        return mimetype == "image/webp"
    family = {"image": "image/", "video": "video/", "audio": "audio/", "voice": "audio/"}.get(kind, "")
    return mimetype.startswith(family) or (family == "audio/" and mimetype == "application/ogg")


def file_type_of(kind: str, mimetype: str) -> tuple[FileType, bool]:
    """As what a file is sent, and whether as a voice message. What WhatsApp cannot show is a document."""
    if kind == "voice":
        return "audio", True
    if kind in ("image", "video", "audio", "document", "sticker"):
        return kind, False  # type: ignore[return-value]  # one of its words
    if mimetype in ("image/jpeg", "image/png", "image/webp"):
        return "image", False
    if mimetype in ("video/mp4", "video/3gpp", "video/quicktime"):
        return "video", False
    return ("audio", False) if mimetype.startswith("audio/") else ("document", False)


_Answer: Any = Fetched | _Failure
_fetched: TypeAdapter[Fetched | _Failure] = TypeAdapter(_Answer)


async def _in_a_process(source: str, target: Path, rules: Rules) -> Fetched:
    request = {
        "source": source,
        "target": str(target),
        "within_s": FETCH_WITHIN_S,
        "rules": rules.model_dump(mode="json"),
    }
    # Its own session: a signal to the agent's group is not for it. With the agent it is gone, too.
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "browser_agent.sending"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
        env=dict(os.environ),
    )
    try:
        async with asyncio.timeout(FETCH_WITHIN_S + _STARTING_S):
            answer, _ = await process.communicate(_any.dump_json(request))
    except TimeoutError:
        raise SourceFailed(StoreUnavailable.code, "the source took too long") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        found = _fetched.validate_json(answer)
    except ValidationError:
        raise SourceFailed(StoreUnavailable.code, "the fetching process ended without an answer") from None
    if isinstance(found, _Failure):
        raise SourceFailed(found.error, found.message, no_such_host=found.no_such_host)
    return found


_any: TypeAdapter[object] = TypeAdapter(object)
