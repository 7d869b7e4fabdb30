"""The builds of WhatsApp Web that the npm package @wppconnect/wa-version keeps: one document each.

    html/2.3000.1048032155-alpha.html     as the site served it; about 600 KB
    versions.json                         for each when it came out, and until when it may be taken by the server

It is read without Node. It is optional, for its size (260 MB): `npm ci --include=optional` installs it.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

INSTALL = (
    "run 'npm ci --include=optional' in the project's folder (or build the image with WITH_BUILDS=on), "
    "or correct WA_VERSION_PATH"
)
# Numbers or `x`, as the package takes them; what is left out may be anything.
PATTERN = r"^(\d+|x)(\.(\d+|x)){0,2}(-[A-Za-z0-9.]+)?$"
_FILE = re.compile(r"^(\d+)\.(\d+)\.(\d+)(-[A-Za-z0-9.]+)?$")


class NoSuchBuild(Exception):
    """What was asked for is not there; the text says what to do."""


@dataclass(frozen=True)
class KeptBuild:
    """One build's document on the disk."""

    version: str
    path: Path

    def read(self) -> bytes:
        """The document. Raises NoSuchBuild."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise NoSuchBuild(f"{self.path} cannot be read ({error.strerror}); {INSTALL}") from None


@dataclass(frozen=True)
class KeptBuilds:
    """The package in a folder. It is looked into anew each time: it may be installed, or renewed, meanwhile."""

    folder: Path

    def newest(self, pattern: str) -> KeptBuild:
        """The newest that matches, e.g. `2.3000.x`. Raises NoSuchBuild, also where the package is not installed."""
        found = self.all()
        if not found:
            raise NoSuchBuild(f"the package @wppconnect/wa-version is not in {self.folder}; {INSTALL}")
        for build in reversed(found):
            if matches(pattern, build.version):
                return build
        raise NoSuchBuild(
            f"@wppconnect/wa-version has no build {pattern}; it has {len(found)}, "
            f"from {found[0].version} to {found[-1].version}"
        )

    def same_as(self, version: str) -> KeptBuild | None:
        """The build that calls itself so: its page leaves out what stands behind the numbers."""
        return next((build for build in reversed(self.all()) if is_same(build.version, version)), None)

    def expires_at(self, version: str) -> datetime | None:
        """Until when WhatsApp's server takes it, as the package has it; null where it does not say."""
        try:
            listed = json.loads((self.folder / "versions.json").read_text())["versions"]
            return next(datetime.fromisoformat(one["expire"]) for one in listed if one["version"] == version)
        except (OSError, ValueError, LookupError, TypeError, StopIteration):
            return None

    def all(self) -> list[KeptBuild]:
        """All of them, oldest first."""
        try:
            files = list((self.folder / "html").iterdir())
        except OSError:
            return []
        builds = (KeptBuild(file.stem, file) for file in files if file.suffix == ".html" and _FILE.match(file.stem))
        return sorted(builds, key=lambda build: _order(build.version))


def matches(pattern: str, version: str) -> bool:
    """Whether a version is among those that a pattern stands for. Without a suffix, any will do."""
    numbers, _, suffix = pattern.partition("-")
    has, _, its_suffix = version.partition("-")
    wanted = numbers.split(".")
    if suffix and suffix != its_suffix:
        return False
    return all(want in ("x", number) for want, number in zip(wanted, has.split("."), strict=False))


def is_same(one: str, other: str) -> bool:
    """Whether two versions are of one build: a page tells its own with or without what stands behind the numbers."""
    return one.partition("-")[0] == other.partition("-")[0]


def revision(version: str) -> str | None:
    """The number by which a document tells its build."""
    found = _FILE.match(version)
    return found.group(3) if found else None


def is_later(number: str, version: str) -> bool:
    """Whether a document with that number is of a later build than a version; not where that is no number."""
    has = revision(version)
    return has is not None and number.isdecimal() and int(number) > int(has)


def newest_of(versions: Iterable[str]) -> str | None:
    """The newest of some versions; those that are not numbers are passed over."""
    return max((one for one in versions if _FILE.match(one)), key=_order, default=None)


def _order(version: str) -> tuple[int, int, int, bool, str]:
    found = _FILE.match(version)
    if found is None:
        raise ValueError(f"{version!r} is no version")
    first, second, third, suffix = found.groups()
    return int(first), int(second), int(third), suffix is None, suffix or ""
