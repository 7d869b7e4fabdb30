"""What the agent asks of the child process, and what that answers: JSON lines, each with its request's number."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from browser_agent.session.errors import SessionError
from whatsapp_contract.errors import ContractError


class MediaWorkError(Exception):
    """Base of what can go wrong in the child, the store's own errors aside."""


class Corrupt(MediaWorkError):
    """The file is not what WhatsApp says it is."""


class LocalFileGone(MediaWorkError):
    """The file to be stored is not on this machine's disk any more."""


class LocalFileBad(MediaWorkError):
    """The file to be stored cannot be read from this machine's disk."""


class WorkFailed(MediaWorkError):
    """A bug. The child's log has the traceback."""


class ProcessDied(MediaWorkError):
    """The child died over this, or over what it did beside it."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Store(_Message):
    """Verify a file and keep it. `key` may have `{sha256}` in it, which becomes the file's own."""

    path: str
    key: str
    sha256: str | None
    size: int | None
    mimetype: str | None


class Verified(_Message):
    """Told while it is being stored: the file is what it should be."""

    sha256: str
    size: int


class Stored(_Message):
    url: str
    sha256: str
    size: int


class Exists(_Message):
    """Whether an object that was stored once is still there."""

    url: str


class Existing(_Message):
    exists: bool


class Find(_Message):
    """Whether a file that nobody remembers to have stored is in the store, under its key and whole."""

    key: str
    sha256: str


class Found(_Message):
    url: str | None
    size: int


class SignLink(_Message):
    """A link to an `s3://` address that needs no credentials."""

    url: str
    expires_in_s: int


class Link(_Message):
    url: str


class Ready(_Message):
    """Told once, with the number 0: the child has come up."""


Note = Verified
Answer = Stored | Existing | Found | Link

# A further kind of request is a model here and an entry in Work's `_doers`.
_KINDS: dict[str, type[_Message]] = {
    kind.__name__: kind for kind in (Store, Verified, Stored, Exists, Existing, Find, Found, SignLink, Link, Ready)
}


def to_line(number: int, message: BaseModel, *, is_note: bool = False) -> bytes:
    document = {"id": number, "kind": type(message).__name__, "note": is_note, "body": message.model_dump(mode="json")}
    return json.dumps(document).encode() + b"\n"


def error_to_line(number: int, error: Exception) -> bytes:
    """An error of ours, of the store's or of the contract's; any other is WorkFailed by its name alone."""
    name = next((name for name, kind in _errors().items() if type(error) is kind), None)
    body = {"name": name or "WorkFailed", "message": str(error) if name else type(error).__name__}
    return json.dumps({"id": number, "kind": "error", "note": False, "body": body}).encode() + b"\n"


class Line(_Message):
    """One line of either direction. `message` is what it carries, or the error."""

    number: int
    is_note: bool
    message: Any


def from_line(line: bytes) -> Line:
    """Raises ValueError for one that is none of ours."""
    document: Any = json.loads(line)
    try:
        number, kind, body = int(document["id"]), document["kind"], document["body"]
        if kind == "error":
            error = _errors().get(body["name"], WorkFailed)(body["message"])
            return Line(number=number, is_note=False, message=error)
        return Line(number=number, is_note=bool(document["note"]), message=_KINDS[kind].model_validate(body))
    except (KeyError, TypeError, ValidationError) as problem:
        raise ValueError(f"not a line of ours: {type(problem).__name__}") from problem


@functools.cache
def _errors() -> Mapping[str, type[Exception]]:
    kinds: list[type[Exception]] = [Corrupt, LocalFileGone, LocalFileBad, WorkFailed, ProcessDied]
    kinds += _below(SessionError)
    kinds += _below(ContractError)
    return {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds}


def _below(base: type[Exception]) -> list[type[Exception]]:
    return [kind for child in base.__subclasses__() for kind in (child, *_below(child))]
