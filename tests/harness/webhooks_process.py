"""The process that delivers to webhooks, alone, on a Redis of the test's.

`python -m tests.harness.webhooks_process outcome.FIRST_WAIT_S=0.02 ...` is `python -m webhooks` with other constants.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from tests.whatsapp_web import processes

from .redis_server import RedisServer
from .waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
QUICK = ("outcome.FIRST_WAIT_S=0.01", "outcome.LEAST_WAIT_S=0.01")  # between tries


class WebhooksProcess:
    """Started, it may be killed and started again. `log` is all that it has said."""

    def __init__(self, redis_url: str, urls: tuple[str, ...], constants: tuple[str, ...], variables: dict[str, str]):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # see close
        self._command = [sys.executable, "-m", "tests.harness.webhooks_process", *constants]
        self._environ = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")},
            "REDIS_URL": redis_url,
            "WHATSAPP_SESSION_ID": "s1",
            "INSTANCE_ID": "i1",
            "WEBHOOK_URL": ",".join(urls),
            "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
            "LOG_LEVEL": "DEBUG",
            **variables,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it says that it has started."""
        before = self.log.count("webhooks started")
        self._process = processes.start(
            self._command, cwd=str(REPOSITORY), stdout=self._log, stderr=self._log, env=self._environ
        )
        wait_until(lambda: self.log.count("webhooks started") > before, 90, "the process starts")

    def kill(self) -> None:
        """At once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self, within_s: float = 15) -> int:
        """As supervisord stops it; its status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(within_s)
        self._process = None
        return status

    def close(self) -> None:
        if self._process is not None:
            self.kill()
        self._log.close()


@contextmanager
def delivering(
    server: RedisServer, *urls: str, constants: tuple[str, ...] = QUICK, **variables: str
) -> Iterator[WebhooksProcess]:
    """One that runs."""
    process = WebhooksProcess(server.url, urls, constants, variables)
    try:
        process.start()
        yield process
    finally:
        process.close()


def main(constants: list[str]) -> int:
    for constant in constants:
        name, _, value = constant.partition("=")
        module, _, attribute = name.partition(".")
        owner = import_module(f"webhooks.{module}")
        setattr(owner, attribute, type(getattr(owner, attribute))(float(value)))
    from webhooks.__main__ import main as deliver

    return deliver()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
