"""What the child process does: looks at files, keeps them, signs links. Blocking; called from several threads."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from browser_agent.session.errors import NotInStore
from whatsapp_contract.settings import Settings

from .requests import (
    Answer,
    Corrupt,
    Existing,
    Exists,
    Find,
    Found,
    Link,
    LocalFileBad,
    LocalFileGone,
    Note,
    SignLink,
    Store,
    Stored,
    Verified,
)
from .stores import MediaStore, bucket_and_key, open_media_store, s3_store

PIECE = 1 << 18
_TYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[A-Za-z0-9=.,+-]+)*")

Tell = Callable[[Note], None]


class Work:
    """One per process. A kind of request is a model in requests.py and an entry in `_doers`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: MediaStore | None = None
        self._opening = threading.Lock()
        self._doers: dict[type[BaseModel], Callable[[Any, Tell], Answer]] = {
            Store: self._keep,
            Exists: self._exists,
            Find: self._find,
            SignLink: self._sign,
        }

    def do(self, request: BaseModel, tell: Tell) -> Answer:
        """Raises MediaWorkError, or SessionError of the store; `tell` hears what is known meanwhile."""
        return self._doers[type(request)](request, tell)

    @property
    def store(self) -> MediaStore:
        with self._opening:
            if self._store is None:
                self._store = open_media_store(self._settings)
            return self._store

    def _keep(self, request: Store, tell: Tell) -> Stored:
        path = Path(request.path)
        sha256, size = _looked_at(path)
        # The hash proves more than the size, which the sender's phone may have told wrongly.
        if sha256 != request.sha256 if request.sha256 is not None else request.size not in {None, size}:
            raise Corrupt(f"{size} bytes of SHA-256 {sha256[:8]}...")
        tell(Verified(sha256=sha256, size=size))
        key = request.key.replace("{sha256}", sha256)
        with _local_trouble(path):  # the store's own trouble is a SessionError
            self.store.upload(key, path, _content_type(request.mimetype))
        return Stored(url=self.store.address(key), sha256=sha256, size=size)

    def _exists(self, request: Exists, _tell: Tell) -> Existing:
        """In the store that is now in use; anywhere else it counts as not there."""
        root = self.store.address("x").removesuffix("x")
        if not request.url.startswith(root):
            return Existing(exists=False)
        try:
            with self.store.download(request.url.removeprefix(root)):
                return Existing(exists=True)
        except NotInStore:
            return Existing(exists=False)

    def _find(self, request: Find, _tell: Tell) -> Found:
        digest, size = hashlib.sha256(), 0
        try:
            with self.store.download(request.key) as stream:
                while piece := stream.read(PIECE):
                    digest.update(piece)
                    size += len(piece)
        except NotInStore:
            return Found(url=None, size=0)
        is_it = digest.hexdigest() == request.sha256
        return Found(url=self.store.address(request.key) if is_it else None, size=size)

    def _sign(self, request: SignLink, _tell: Tell) -> Link:
        bucket, name = bucket_and_key(request.url)
        return Link(url=s3_store(self._settings, bucket).signed_url(name, request.expires_in_s))


def _looked_at(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with _local_trouble(path), path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


@contextlib.contextmanager
def _local_trouble(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LocalFileGone(path.name) from error
    except OSError as error:
        raise LocalFileBad(error.strerror or type(error).__name__) from error


def _content_type(mimetype: str | None) -> str | None:
    """The sender wrote it: it becomes a header only where it looks like one."""
    return mimetype if mimetype and len(mimetype) <= 200 and _TYPE.fullmatch(mimetype) else None
