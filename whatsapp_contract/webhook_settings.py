"""What the variables of webhooks say: addresses, secrets, event types. Nothing is repeated of what cannot be used."""

import base64
import binascii
import hashlib
import re
from urllib.parse import SplitResult, unquote, urlsplit

from .events import EventType

# A code to scan opens the account: it is given only to who names it.
NOT_UNASKED = frozenset({EventType.QR.value})
DEFAULT_EVENTS = tuple(kind.value for kind in EventType if kind.value not in NOT_UNASKED)

TRIVIAL = 8  # characters: up to so many, a part of an address is not looked for in logs
LEAST_SECRET = 16  # characters, or bytes where it is in base64
ENCODED_SECRET = "whsec_"  # noqa: S105  # how a secret in base64 begins, by Standard Webhooks


def split_list(given: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(word.strip() for word in given.split(",") if word.strip())


def check_urls(given: str) -> None:
    """Raises ValueError."""
    urls = split_list(given)
    for place, url in enumerate(urls, 1):
        if not _is_usable(url):
            which = f"address {place} of {len(urls)} " if len(urls) > 1 else ""
            raise ValueError(
                f"{which}should be http:// or https:// with a host, and with %2C for a comma and %20 for a space"
            )
    if len(set(urls)) < len(urls):
        raise ValueError("names an address twice")
    if not urls:
        raise ValueError("names no address")


def check_secrets(given: str) -> None:
    """Raises ValueError."""
    secrets = split_list(given)
    if not secrets:
        raise ValueError("names no secret")
    for secret in secrets:
        if secret_bytes(secret) is None:
            raise ValueError(f"should be base64 after {ENCODED_SECRET}, of at least {LEAST_SECRET} bytes")
        if len(secret) < LEAST_SECRET:
            raise ValueError(f"should have at least {LEAST_SECRET} characters")


def secret_bytes(secret: str) -> bytes | None:
    """The key that a secret stands for; None where it cannot be read."""
    if not secret.startswith(ENCODED_SECRET):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(ENCODED_SECRET), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) >= LEAST_SECRET else None


def check_events(given: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError."""
    known = [kind.value for kind in EventType]
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"there is no event type {', '.join(unknown)}; there are {', '.join(known)}")
    if not given:
        raise ValueError("names no event type")
    return given


def hook_id(url: str) -> str:
    """What a webhook is called where its address must not be seen: the same for the same address, for ever."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def secret_parts(url: str) -> set[str]:
    """Of an address what must not be shown also where it is told without the rest, as a library may: the password, as
    it is written and as it is sent, and path with query, unless they are so short that other words are like them."""
    parts = urlsplit(url)
    password = parts.password or ""
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return {password, *(part for part in (unquote(password), target) if len(part) > TRIVIAL)} - {""}


def shown(url: str) -> str:
    """Of an address what may be shown: scheme, host and port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except (ValueError, UnicodeError):
        return False
    return (
        parts.scheme in ("http", "https")
        and re.fullmatch(r"[^\s<>\"{}|\\^`\x00-\x20]+", host) is not None
        and port != 0
        and _is_clean(parts)
    )


def _is_clean(parts: SplitResult) -> bool:
    """Whether it goes into a request line as it is."""
    told = parts.path + parts.query
    return told.isascii() and all("!" <= c <= "~" for c in told)
