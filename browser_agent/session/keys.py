"""What a key of the store may look like, so that it means the same as an object of S3 and as a file."""

import re

_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,200}")


def checked(key: str) -> str:
    """The key itself. Raises ValueError for one that is absolute, climbs, or has other characters."""
    segments = key.split("/")
    if len(key) > 800 or any(segment in {".", ".."} or not _SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError(f"not a key of a store: {key!r}")
    return key
