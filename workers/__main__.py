"""python -m workers"""

import logging
import sys
import threading
import time

from whatsapp_contract import logs
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.settings import SettingsError

SHUTDOWN_WITHIN_S = 2
WORKERS = 2  # a check must not wait behind a reset


class OneLinePerOutage(logging.Filter):
    """Huey logs a traceback at each try to read its queue; an outage of Redis is worth a line, not all of them."""

    EVERY_S = 60.0

    def __init__(self) -> None:
        super().__init__()
        self._told_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_outage(error):
            return True
        record.exc_info = None
        record.msg, record.args, record.levelno, record.levelname = (
            f"no tasks: {error}",
            None,
            logging.WARNING,
            "WARNING",
        )
        is_first = time.monotonic() - self._told_at > self.EVERY_S
        if is_first:
            self._told_at = time.monotonic()
        return is_first


def main() -> int:
    try:
        from . import tasks  # noqa: F401  # the consumer knows the tasks that were imported
        from .sending import create_send_consumer
        from .task_queue import settings, task_queue
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    logs.configure(
        "worker", settings.log_level, settings.log_format, settings.secrets(), on_terminal=settings.log_on_terminal
    )
    logging.getLogger("huey").setLevel(logging.WARNING)
    one_line = OneLinePerOutage()
    for name in ("huey", "huey.consumer.Worker", "huey.consumer.Scheduler"):
        logging.getLogger(name).addFilter(one_line)
    logs.get_logger(__name__).info("worker started", queue=task_queue.name)
    checks = task_queue.create_consumer(
        workers=WORKERS,
        periodic=False,
        scheduler_interval=60,  # the scheduler process moves what is due
        graceful_signal="TERM",
        shutdown_timeout=SHUTDOWN_WITHIN_S,
    )
    # Beside it, with threads of its own: no send holds up a check. A signal stops both at once.
    sends = create_send_consumer(settings, checks.stop_flag)
    threading.Thread(target=sends.run, daemon=True).start()
    checks.run()
    sends.leave(within_s=0.4)  # it has had as long as the checks
    return 0


if __name__ == "__main__":
    sys.exit(main())
