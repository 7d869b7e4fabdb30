"""python -m scheduler"""

import logging
import sys

from whatsapp_contract import logs
from whatsapp_contract.settings import SettingsError


def main() -> int:
    try:
        from workers.task_queue import settings, task_queue

        from .schedule import schedule

        entries = schedule(settings)
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    from .consumer import create_scheduling_consumer

    logs.configure(
        "scheduler", settings.log_level, settings.log_format, settings.secrets(), on_terminal=settings.log_on_terminal
    )
    logging.getLogger("huey").setLevel(logging.WARNING)
    logs.get_logger(__name__).info("scheduler started", **{entry.name: entry.cron.text for entry in entries})
    create_scheduling_consumer(task_queue, settings.instance_names, entries).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
