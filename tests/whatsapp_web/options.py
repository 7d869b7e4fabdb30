"""What can be chosen about the stand-in: once, for the command line, the door and the page."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

VOCABULARIES = ("modern", "legacy")
BOOTS = ("normal", "never", "again")


@dataclass(frozen=True)
class Options:
    """Page options take effect at the next page load, server options at once.

    README.md describes each. Times carry their unit in their name.
    """

    # the build of the page
    build: str = "2.3000.1045220589"
    vocabulary: str = "modern"
    minified_keys: bool = False
    hide: tuple[str, ...] = field(default=())
    hide_loader: bool = False
    drip_ms: int = 0
    # its start
    boot: str = "normal"
    boot_ms: int = 150
    sync_ms: int = 150
    resume_ms: int = 30
    loaded_per_chat: int = 0
    check_media_hash: bool = True
    # the link
    keepalive_s: float = 20.0
    connect_timeout_s: float = 20.0
    reconnect_first_ms: int = 500
    reconnect_max_ms: int = 10_000
    # the QR code
    qr_first_s: float = 60.0
    qr_next_s: float = 20.0
    qr_rotations_before_idle: int = 5
    link_code_s: float = 180.0
    # the server
    messages_during_boot: int = 0
    author_lid: bool = False
    lid_mapping: bool = True

    def __post_init__(self) -> None:
        if self.vocabulary not in VOCABULARIES:
            raise ValueError(f"vocabulary is one of {VOCABULARIES}, not {self.vocabulary!r}")
        if self.boot not in BOOTS:
            raise ValueError(f"boot is one of {BOOTS}, not {self.boot!r}")
        object.__setattr__(self, "hide", tuple(self.hide))

    def changed(self, **changes: Any) -> Options:
        """A copy with some options changed; an unknown name is a TypeError."""
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """The options as the page and the control API spell them."""
        return asdict(self)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One command-line flag per option, named after it."""
    for option in fields(Options):
        flag = "--" + option.name.replace("_", "-")
        default = getattr(Options(), option.name)
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
        elif isinstance(default, tuple):
            parser.add_argument(flag, nargs="*", default=default, metavar="MODULE")
        else:
            parser.add_argument(flag, type=type(default), default=default, metavar=type(default).__name__)


def from_arguments(arguments: argparse.Namespace) -> Options:
    """The options that a parsed command line asks for."""
    return Options(**{option.name: getattr(arguments, option.name) for option in fields(Options)})


def as_flags(options: dict[str, Any]) -> list[str]:
    """The command line that asks for some options."""
    flags = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, str | int | float):
            flags += [f"--{flag}", str(value)]
        else:
            flags += [f"--{flag}", *value]
    return flags
