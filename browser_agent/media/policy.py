"""When a file is tried again, and when it is given up. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from whatsapp_contract.media_record import MediaRecord

FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 900.0
NO_DISK_RETRY_S = 30.0
GROWTH = 3.0
ATTEMPTS = 12  # with the waits between them an hour and a half
GONE_ATTEMPTS = 24  # four hours and a half: the sender's phone must come online to upload it again
# What so often falls together with the page's end may be its cause: it is tried alone, and in the end given up.
ALONE_AFTER = 2
CRASHES = 8  # half an hour
INTERRUPTIONS = 24  # four hours and a half


class Problem(StrEnum):
    """What a try failed for."""

    TOO_LARGE = "too_large"
    GONE = "gone"  # the media server has it no more
    CORRUPT = "corrupt"
    UNFETCHABLE = "unfetchable"  # anything else that is the file's own
    INTERRUPTED = "interrupted"  # the page was loaded anew, or the link went away: not the file's fault
    CRASHED = "crashed"  # the page's process, the browser or the child died meanwhile: perhaps of it
    NO_DISK = "no_disk"  # it cannot be written to our own disk: not the file's fault, either


@dataclass(frozen=True)
class Again:
    """Try again, not before so many seconds."""

    record: MediaRecord
    wait_s: float


@dataclass(frozen=True)
class GivenUp:
    """A dead letter."""

    record: MediaRecord


def after(record: MediaRecord, problem: Problem, jitter: float) -> Again | GivenUp:
    """What follows a try that failed. `jitter` is a factor about 1."""
    if problem is Problem.TOO_LARGE:
        return GivenUp(record.changed(error=problem.value, problem=problem.value))
    if problem is Problem.NO_DISK:
        return Again(record, NO_DISK_RETRY_S * jitter)
    if problem in {Problem.INTERRUPTED, Problem.CRASHED}:
        crashed = record.crashed + (problem is Problem.CRASHED)
        record = record.changed(interrupted=record.interrupted + 1, crashed=crashed)
        if record.crashed < CRASHES and record.interrupted < INTERRUPTIONS:
            return Again(record, retry_wait_s(record.interrupted) * jitter)
        return GivenUp(record.changed(error=Problem.UNFETCHABLE.value, problem=problem.value))
    record = record.changed(attempts=record.attempts + 1, problem=problem.value)
    if problem is Problem.GONE:
        record = record.changed(asked_again=record.asked_again + 1)
    if record.attempts >= (GONE_ATTEMPTS if problem is Problem.GONE else ATTEMPTS):
        return GivenUp(record.changed(error=problem.value))
    return Again(record, retry_wait_s(record.attempts) * jitter)


def is_suspect(record: MediaRecord) -> bool:
    """Whether the page may have died of it."""
    return record.interrupted >= ALONE_AFTER


def retry_wait_s(attempts: int) -> float:
    """After so many attempts that failed, or were cut short."""
    return min(FIRST_RETRY_S * GROWTH ** min(attempts - 1, 30), LONGEST_RETRY_S)
