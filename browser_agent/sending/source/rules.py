"""Where files may come from."""

from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict

from whatsapp_contract.errors import Refused
from whatsapp_contract.settings import Settings

DEFAULT_BUCKET = "shula-whatsapp-sessions"
SESSION_BUCKET_PREFIX = "media/"


class Rules(BaseModel):
    """Where files may come from, and how large they may be. Without secrets: those are in the environment."""

    model_config = ConfigDict(frozen=True)

    private_hosts: frozenset[str]
    buckets: dict[str, str]  # with what a key in each has to begin
    folders: tuple[Path, ...]  # the first is where a path without a folder lies
    max_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Rules":
        session_bucket = settings.bucket_name or DEFAULT_BUCKET
        buckets = {session_bucket: SESSION_BUCKET_PREFIX}
        if settings.media_bucket is not None:
            buckets.setdefault(settings.media_bucket, "")
        data_dir = settings.data_dir.absolute()
        return cls(
            private_hosts=frozenset(host.lower() for host in settings.send_private_hosts),
            buckets=buckets,
            folders=(data_dir / "outgoing", data_dir / "store" / "media"),
            max_bytes=settings.media_max_bytes,
        )


def split_address(source: str) -> SplitResult:
    """Raises Refused for what is no address at all."""
    try:
        return urlsplit(source)
    except ValueError:
        raise Refused("the source's address cannot be read") from None
