"""What has to be on the disk before anything is built on it."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file's content, or a folder's entries, on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
