"""What a check found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How it stands."""

    OK = "ok"
    WARN = "warn"  # it works, or may, but somebody should know
    BAD = "bad"  # it does not work, or something will be lost


@dataclass(frozen=True)
class Finding:
    """One line for a person. `advice` is there unless all is well."""

    name: str
    level: Level
    found: str
    advice: str | None = None


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, found)


def warn(name: str, found: str, advice: str) -> Finding:
    """Somebody should know."""
    return Finding(name, Level.WARN, found, advice)


def bad(name: str, found: str, advice: str) -> Finding:
    """Somebody must act."""
    return Finding(name, Level.BAD, found, advice)
