"""Cron expressions of five fields, or of six with the seconds first. UTC.

Written here rather than taken from Huey, whose crontab knows no seconds and whose import would cost the entry point,
which has to check the expressions, more than all its other checks.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

# Name and range of each field; Sunday is 0 and 7.
_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_PIECE = re.compile(r"(?:(?P<all>\*)|(?P<first>\d{1,2})(?:-(?P<last>\d{1,2}))?)(?:/(?P<step>\d{1,2}))?", re.ASCII)


class BadCron(ValueError):
    """An expression that cannot be used; says why."""


@dataclass(frozen=True)
class Cron:
    """`*/10 * * * * *` is every ten seconds; `0 * * * *` every hour, on its first second.

    Fields: [second] minute hour day-of-month month day-of-week, each `*`, `a` or `a-b`, with `/n` for each n-th of
    a range, or a list of these with commas. All fields must match.
    """

    text: str
    _allowed: tuple[frozenset[int], ...]

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Raises BadCron."""
        fields = text.split()
        if len(fields) not in (5, 6):
            raise BadCron(f"cron expression {text!r} has {len(fields)} fields; five or six are needed")
        if len(fields) == 5:
            fields = ["0", *fields]
        allowed = tuple(_parse_field(field, *known) for field, known in zip(fields, _FIELDS, strict=True))
        return cls(text, allowed)

    @property
    def longest_wait_s(self) -> int:
        """From one of its times to the next, in the hours that it names."""
        seconds, minutes = self._allowed[:2]
        times = sorted(60 * minute + second for minute in minutes for second in seconds)
        return max(after - before for before, after in pairwise([*times, times[0] + 3600]))

    def matches(self, epoch_second: int) -> bool:
        """Whether the expression names this second."""
        moment = datetime.fromtimestamp(epoch_second, UTC)
        day_of_week = moment.isoweekday() % 7
        now = (moment.second, moment.minute, moment.hour, moment.day, moment.month, day_of_week)
        return all(part in allowed for part, allowed in zip(now, self._allowed, strict=True))


def _parse_field(field: str, name: str, least: int, most: int) -> frozenset[int]:
    values: set[int] = set()
    for piece in field.split(","):
        found = _PIECE.fullmatch(piece)
        if found is None:
            raise BadCron(f"{piece!r} is no {name}")
        first, last = (least, most) if found["all"] else (int(found["first"]), int(found["last"] or found["first"]))
        step = int(found["step"] or 1)
        is_single = not found["all"] and not found["last"]
        if not least <= first <= last <= most or step == 0 or (is_single and found["step"]):
            raise BadCron(f"{piece!r} is no {name} from {least} to {most}")
        values.update(range(first, last + 1, step))
    return frozenset(value % 7 for value in values) if name == "day of week" else frozenset(values)
