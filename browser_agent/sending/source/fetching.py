"""`check` a source when it is given, `fetch` it when its turn comes; start reading here."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from whatsapp_contract.errors import Refused

from . import disk, https, s3
from .content import Fetched, written
from .rules import Rules, split_address


def check(source: str, rules: Rules) -> None:
    """What can be said of a source without having it: it may come to be there later. Raises Refused."""
    parts = split_address(source)
    match parts.scheme:
        case "http" | "https":
            https.check(parts, rules)
        case "s3":
            s3.check(parts, rules)
        case "file" | "":
            disk.check(source, parts, rules)
        case _:
            raise Refused("a source is https://, s3://bucket/key, or a file below DATA_DIR/outgoing")


def fetch(
    source: str, target: Path, rules: Rules, within_s: float, open_s3: "Callable[[], s3.S3] | None" = None
) -> Fetched:
    """Bring it to `target`. Raises Refused, NotFound or TooLarge, and StoreUnavailable for what may pass by itself."""
    parts = split_address(source)
    deadline = time.monotonic() + within_s
    with _our_file(target) as out:
        match parts.scheme:
            case "http" | "https":
                return https.fetch(source, out, rules, deadline)
            case "s3":
                return s3.fetch(parts, out, rules, deadline, open_s3 or s3.from_environment)
            case "file" | "":
                return disk.fetch(source, parts, out, rules, deadline)
            case _:
                check(source, rules)
                raise AssertionError("unreachable")


@contextlib.contextmanager
def _our_file(target: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    out = os.fdopen(descriptor, "wb")
    try:
        yield out
        written(out.flush)
    finally:
        with contextlib.suppress(OSError):  # what could not be written is told already
            out.close()
