"""Where files are kept: S3 or a directory, as sessions are, perhaps in a bucket of their own. For the child alone."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.s3 import S3Store
from browser_agent.session.stores import DEFAULT_BUCKET
from whatsapp_contract.settings import Settings

UPLOADS_AT_ONCE = 8


class MediaStore(Protocol):
    """What of a store (session/store.py, where its errors are told) files need."""

    location: str

    def upload(self, key: str, source: Path, content_type: str | None = None) -> None:
        """Put a file under its key, whole or not at all."""

    def download(self, key: str) -> AbstractContextManager[BinaryIO]:
        """The object's bytes as a stream. Raises NotInStore."""

    def address(self, key: str) -> str:
        """Its `s3://` or `file://` address."""


def open_media_store(settings: Settings) -> MediaStore:
    """The store that the settings name for files. Nothing is asked of it yet."""
    if not settings.wants_media_in_s3:
        return DirectoryStore(settings.data_dir.absolute() / "store")
    return s3_store(settings, settings.media_bucket or settings.bucket_name or DEFAULT_BUCKET)


def s3_store(settings: Settings, bucket: str) -> S3Store:
    access_key, secret_key = settings.bucket_access_key, settings.bucket_secret_key
    return S3Store(
        bucket,
        settings.aws_region,
        settings.s3_endpoint_url,
        access_key.get_secret_value() if access_key else None,
        secret_key.get_secret_value() if secret_key else None,
        connections=UPLOADS_AT_ONCE,
    )


def bucket_and_key(url: str) -> tuple[str, str]:
    """Of an `s3://` address. Raises ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise ValueError("not an s3:// address")
    return parts.netloc, parts.path.lstrip("/")
