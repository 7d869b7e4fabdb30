"""Fetching what is to be sent, as tests of it want it."""

from pathlib import Path

from browser_agent.sending.source.content import Fetched
from browser_agent.sending.source.fetching import fetch
from browser_agent.sending.source.rules import Rules
from whatsapp_contract.settings import Settings

JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)


def rules(tmp_path: Path, *private_hosts: str, max_bytes: int = 1_000_000, **variables: str) -> Rules:
    """As settings make them, with the data in a folder's `data`."""
    environ = {
        "DATA_DIR": str(tmp_path / "data"),
        "SEND_PRIVATE_HOSTS": ",".join(private_hosts),
        "MEDIA_MAX_BYTES": str(max_bytes),
        **variables,
    }
    return Rules.from_settings(Settings.from_env(environ))


def got(given: str, target: Path, allowed: Rules, within_s: float = 10) -> Fetched:
    """Fetched, and the same bytes on the disk as it says."""
    fetched = fetch(given, target, allowed, within_s)
    assert target.stat().st_size == fetched.size
    assert target.stat().st_mode & 0o777 == 0o600
    return fetched
