"""python -m webhooks: posts each event to the addresses in WEBHOOK_URL."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from whatsapp_contract import logs
from whatsapp_contract.redis_connection import connect
from whatsapp_contract.settings import Settings, SettingsError

from .delivery import Delivery
from .hook import hooks

WRITTEN_WITHIN_S = 0.5


class _Ending:
    """When the process ends, and with what status."""

    def __init__(self) -> None:
        self.status = 0
        self._now = threading.Event()

    def wait(self) -> None:
        self._now.wait()

    def stop(self, *_signal: object) -> None:
        self._now.set()

    def guarded(self, run: Callable[[], None]) -> Callable[[], None]:
        """A bug in one thread ends the process: half of it at work would be the worst."""

        def guarded() -> None:
            try:
                run()
            except BaseException:
                logs.get_logger(__name__).exception("delivering to webhooks ends with a bug")
                self.status = 1
            finally:
                self._now.set()

        return guarded


def main() -> int:
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    named = hooks(settings)
    if not named:
        sys.stderr.write("WEBHOOK_URL: names no address; nothing is to be done\n")
        return 2
    logs.configure(
        "webhooks", settings.log_level, settings.log_format, settings.secrets(), on_terminal=settings.log_on_terminal
    )
    ending = _Ending()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ending.stop)
    client = connect(settings.redis_url.get_secret_value())
    deliveries = [
        Delivery(client, settings.names, hook, settings.instance_id, settings.service_started_at) for hook in named
    ]
    for delivery in deliveries:
        for run in delivery.threads():
            # A daemon: what it is about when we end comes again.
            threading.Thread(target=ending.guarded(run), daemon=True).start()
    logs.get_logger(__name__).info(
        "webhooks started",
        webhooks=[hook.host for hook in named],
        signed=bool(settings.webhook_secrets),
        events=len(settings.webhook_events),
    )
    ending.wait()
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    for delivery in deliveries:
        delivery.end(max(0.0, deadline - time.monotonic()))
    sys.stdout.flush()
    return ending.status


if __name__ == "__main__":
    sys.exit(main())
