"""The machine: its disk, and its clock against others'."""

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings

from .finding import Finding, Level, bad, ok, warn
from .site import SiteTrouble, ask

DISK_WITHIN_S = 5.0
CLOCK_WITHIN_S = 20.0
LITTLE_BYTES, TOO_LITTLE_BYTES = 10**9, 10**8
FEW_INODES = 1000
SKEW_S, LARGE_SKEW_S = 2.0, 30.0
ASK_WITHIN_S = 3.0


def disk(settings: Settings) -> list[Finding]:
    """DATA_DIR, its owner, what of it another user owns, its space; RUN_DIR."""
    data_dir = settings.data_dir.absolute()
    findings = [_folder("disk", "DATA_DIR", data_dir)]
    if findings[0].level is Level.OK and data_dir.is_dir():
        findings[0] = _owners(data_dir, settings.session_dir) or findings[0]
    with contextlib.suppress(FileNotFoundError):  # a link to nowhere, which is told above
        stat = os.statvfs(_nearest(data_dir))
        findings.append(space(stat.f_bavail * stat.f_frsize, stat.f_favail if stat.f_files else None))
    if not settings.run_dir.is_relative_to(data_dir):
        findings.append(_folder("disk", "RUN_DIR", settings.run_dir))
    return findings


def space(free_bytes: int, free_inodes: int | None) -> Finding:
    """What a snapshot of the profile, files on their way, and Redis' file need. `None` where files are not counted."""
    name, found = "disk space", f"{free_bytes / 1e9:,.1f} GB are free under DATA_DIR"
    advice = "free space, or move DATA_DIR to a larger disk: sessions and files cannot be saved without"
    if free_inodes is not None and free_inodes < FEW_INODES:
        return bad(name, f"{found}, but only {free_inodes} more files can be made", advice)
    if free_bytes < TOO_LITTLE_BYTES:
        return bad(name, found, advice)
    return warn(name, found, advice) if free_bytes < LITTLE_BYTES else ok(name, found)


def _folder(name: str, variable: str, folder: Path) -> Finding:
    nearest, us = _nearest(folder), os.getuid()
    if not nearest.is_dir():
        return bad(name, f"{variable} {folder}: {nearest} is no folder", f"remove it, or set {variable}")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        owner = nearest.stat().st_uid
        found = f"{variable} {folder}: {nearest} belongs to user {owner}; user {us} cannot write it"
        advice = f"run as user {owner}, or: chown -R {us} {nearest}" if owner != us else f"chmod u+rwx {nearest}"
        return bad(name, found, f"{advice}; or set {variable}; is the disk mounted for reading only?")
    if nearest != folder:
        return ok(name, f"{variable} {folder} is not there yet; it can be made")
    return ok(name, f"{variable} {folder} can be written")


def _owners(data_dir: Path, session_dir: Path) -> Finding | None:
    """What another user left there, whose first run it was perhaps, cannot be written by the service."""
    us = os.getuid()
    seen = [data_dir, *data_dir.iterdir(), *(session_dir.iterdir() if session_dir.is_dir() else ())]
    others: dict[Path, int] = {}
    for path in seen:
        with contextlib.suppress(FileNotFoundError):  # the service removes some of it meanwhile
            if (owner := path.lstat().st_uid) != us:
                others[path] = owner
    if not others:
        return None
    first, owner = next(iter(others.items()))
    advice = f"run everything as one user: chown -R {us} {data_dir}, or run this as user {owner}"
    found = f"{first} belongs to user {owner}, and this is user {us}"
    if any(not os.access(path, os.W_OK) for path in others if not path.is_symlink()):
        return bad("disk", found, advice)
    return warn("disk", found, advice)


def _nearest(folder: Path) -> Path:
    """The folder, or what there is of the way to it. What may not be looked into counts as not there."""
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each)), Path("/"))


# -- the clock -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Skew:
    """How far another clock is ahead of ours, and how far that may be off."""

    source: str
    ahead_s: float
    uncertain_s: float

    @property
    def least_s(self) -> float:
        """What it is at least."""
        return max(0.0, abs(self.ahead_s) - self.uncertain_s)


def clock(settings: Settings, unusable: frozenset[str]) -> list[Finding]:
    """Against whom can be asked."""
    skews: list[Skew | None] = []
    if not {"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"} & unusable:
        skews.append(_of_redis(settings))
    if settings.wants_s3 and not {"S3_ENDPOINT_URL", "AWS_REGION"} & unusable:
        store = settings.s3_endpoint_url or f"https://s3.{settings.aws_region}.amazonaws.com/"
        skews.append(_of_server("the session store", store))
    if "WHATSAPP_WEB_URL" not in unusable:
        skews.append(_of_server("the site", settings.whatsapp_web_url))
    return [judge_clock([skew for skew in skews if skew is not None])]


def judge_clock(skews: Sequence[Skew]) -> Finding:
    """By the one that is farthest off."""
    name = "clock"
    if not skews:
        return warn(name, "nobody could be asked for the time", "mend what is told above, then look again")
    worst = max(skews, key=lambda skew: skew.least_s)
    if worst.least_s <= SKEW_S:
        return ok(name, f"as {', '.join(skew.source for skew in skews)}")
    direction = "behind" if worst.ahead_s > 0 else "ahead of"
    found = f"{abs(worst.ahead_s):,.0f} s {direction} {worst.source}"
    advice = "set one of the two clocks: install chrony or systemd-timesyncd, and see timedatectl"
    return bad(name, found, advice) if worst.least_s > LARGE_SKEW_S else warn(name, found, advice)


def of_date(source: str, header: str, sent_at: float, answered_at: float) -> Skew | None:
    """From an HTTP answer's Date, which tells whole seconds."""
    try:
        told = parsedate_to_datetime(header).timestamp() + 0.5
    except ValueError:
        return None
    return Skew(source, told - (sent_at + answered_at) / 2, 0.5 + (answered_at - sent_at) / 2)


def _of_redis(settings: Settings) -> Skew | None:
    try:
        with connect(settings.redis_url.get_secret_value()) as client:
            client.ping()  # connects
            sent_at = time.time()
            told: Any = client.time()
            answered_at = time.time()
    except Exception as error:
        if not is_outage(error):
            raise
        return None
    seconds, microseconds = told
    between = (sent_at + answered_at) / 2
    return Skew("Redis", seconds + microseconds / 1e6 - between, (answered_at - sent_at) / 2)


def _of_server(source: str, url: str) -> Skew | None:
    try:
        answer = ask(url, ASK_WITHIN_S, method="HEAD")
    except SiteTrouble:
        return None
    if answer.date is None or answer.is_cached:
        return None
    return of_date(source, answer.date, answer.sent_at, answer.answered_at)
