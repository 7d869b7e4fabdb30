"""Cron expressions of five fields, or of six with the seconds first. UTC."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from huey import crontab

Matches = Callable[[datetime], bool]


class BadCron(ValueError):
    """An expression that cannot be used; says why."""


@dataclass(frozen=True)
class Cron:
    """`*/10 * * * * *` is every ten seconds; `0 * * * *` every hour, on its first second.

    Fields: [second] minute hour day-of-month month day-of-week, each `*`, `*/n`, `a`, `a-b`, `a-b/n` or a list of
    these with commas (Huey's crontab, strict). All must match.
    """

    text: str
    _second: Matches
    _rest: Matches

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Raises BadCron."""
        fields = text.split()
        if len(fields) not in (5, 6):
            raise BadCron(f"cron expression {text!r} has {len(fields)} fields; five or six are needed")
        second, minute, hour, day, month, day_of_week = fields if len(fields) == 6 else ["0", *fields]
        try:
            # Huey knows no seconds; its minutes' field has the same range and form.
            on_second = crontab(minute=second, strict=True)
            rest = crontab(minute, hour, day, month, day_of_week, strict=True)
        except ValueError as error:
            raise BadCron(f"cron expression {text!r}: {error}") from None
        return cls(text, on_second, rest)

    def matches(self, epoch_second: int) -> bool:
        """Whether the expression names this second."""
        moment = datetime.fromtimestamp(epoch_second, UTC)
        return self._second(moment.replace(minute=moment.second)) and self._rest(moment)
