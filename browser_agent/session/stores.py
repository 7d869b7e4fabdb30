"""The store that the settings name."""

from whatsapp_contract.settings import Settings

from .directory import DirectoryStore
from .s3 import S3Store
from .store import SessionStore

DEFAULT_BUCKET = "shula-whatsapp-sessions"


def open_store(settings: Settings) -> SessionStore:
    """Nothing is asked of the store yet: whether it can be used, its methods say."""
    if not settings.wants_s3:
        return DirectoryStore(settings.data_dir.absolute() / "store")
    access_key, secret_key = settings.bucket_access_key, settings.bucket_secret_key
    return S3Store(
        settings.bucket_name or DEFAULT_BUCKET,
        settings.aws_region,
        settings.s3_endpoint_url,
        access_key.get_secret_value() if access_key else None,
        secret_key.get_secret_value() if secret_key else None,
    )
