"""python -m workers"""

import logging
import sys

from whatsapp_contract import logs
from whatsapp_contract.settings import SettingsError

SHUTDOWN_WITHIN_S = 2
WORKERS = 2  # a check must not wait behind a reset


def main() -> int:
    try:
        from . import tasks  # noqa: F401  # the consumer knows the tasks that were imported
        from .task_queue import settings, task_queue
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    logs.configure("worker", settings.log_level, settings.log_format, settings.secrets())
    logging.getLogger("huey").setLevel(logging.WARNING)
    logs.get_logger(__name__).info("worker started", queue=task_queue.name)
    task_queue.create_consumer(
        workers=WORKERS,
        periodic=False,
        scheduler_interval=60,  # the scheduler process moves what is due
        graceful_signal="TERM",
        shutdown_timeout=SHUTDOWN_WITHIN_S,
    ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
