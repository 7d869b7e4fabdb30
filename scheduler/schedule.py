"""What runs when."""

from dataclasses import dataclass
from typing import Any

from whatsapp_contract.settings import Settings, SettingsError
from workers.cron import BadCron, Cron

# Observations further apart than a minute do not agree on anything (docs/recovery.md), and a check takes its time.
CHECKS_WITHIN_S = 30


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
    if "check" in found and found["check"].longest_wait_s > CHECKS_WITHIN_S:
        problems.append(
            f"HEALTH_CHECK_CRON: {settings.health_check_cron!r} leaves {found['check'].longest_wait_s} s between two "
            f"checks, and two must agree before anything is done: at most {CHECKS_WITHIN_S} s, such as */10 * * * * *"
        )
    if problems:
        raise SettingsError(problems)
    return found


def schedule(settings: Settings) -> list[Entry]:
    """Raises SettingsError."""
    from workers import tasks

    by_task = crons(settings)
    return [Entry("check", by_task["check"], tasks.check), Entry("reset", by_task["reset"], tasks.reset)]
