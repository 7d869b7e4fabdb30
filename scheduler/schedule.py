"""What runs when."""

from dataclasses import dataclass
from typing import Any

from whatsapp_contract.settings import Settings, SettingsError

from .cron import BadCron, Cron

CHECKS_A_MINUTE = 2  # at least: observations further apart than a minute do not agree on anything (docs/recovery.md)


@dataclass(frozen=True)
class Entry:
    """A Huey task and its times. `name` is part of its ticks' keys."""

    name: str
    cron: Cron
    task: Any


def crons(settings: Settings) -> dict[str, Cron]:
    """The settings' expressions, by task. Raises SettingsError naming every bad one."""
    found: dict[str, Cron] = {}
    problems: list[str] = []
    for name, variable, text in (
        ("check", "HEALTH_CHECK_CRON", settings.health_check_cron),
        ("reset", "CONNECTION_RESET_CRON", settings.connection_reset_cron),
    ):
        try:
            found[name] = Cron.parse(text)
        except BadCron as error:
            problems.append(f"{variable}: {error}")
    if "check" in found and found["check"].times_a_minute < CHECKS_A_MINUTE:
        problems.append(
            f"HEALTH_CHECK_CRON: {settings.health_check_cron!r} checks once a minute at most, and two checks must "
            "agree before anything is done: name the seconds, too, such as */10 * * * * *"
        )
    if problems:
        raise SettingsError(problems)
    return found


def schedule(settings: Settings) -> list[Entry]:
    """Raises SettingsError."""
    from workers import tasks

    by_task = crons(settings)
    return [Entry("check", by_task["check"], tasks.check), Entry("reset", by_task["reset"], tasks.reset)]
