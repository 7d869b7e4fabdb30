"""What a store of sessions must be able to do. S3 and a directory are two; one suite of tests runs over both."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class Document:
    """A small object, and the version that a conditional write names."""

    data: bytes
    version: str


class SessionStore(Protocol):
    """Blocking. Keys are relative, of letters, digits and `._-/`. Every method raises StoreUnavailable or StoreRefused
    when the store cannot be used, also when it does not answer within its own deadlines."""

    location: str  # for people: `s3://bucket`, or the folder

    def read(self, key: str) -> Document | None:
        """A small object; None where there is none for certain."""

    def write(self, key: str, data: bytes, *, replacing: str | None) -> str:
        """Write a small object if it still is the version `replacing`, or, with None, if there is none yet.

        Answers the new version. Raises Conflict. The object is never seen half written.
        """

    def upload(self, key: str, source: Path) -> None:
        """Put a file under a key of its own, whole or not at all."""

    def download(self, key: str) -> AbstractContextManager[BinaryIO]:
        """The object's bytes as a stream. Raises NotInStore."""

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is deleted already."""

    def fences(self) -> bool:
        """Prove with an object of its own (key `probe`) that we may put, get and delete, and answer whether a write
        that names a wrong version is refused. False: the store cannot keep two agents of one session apart."""
