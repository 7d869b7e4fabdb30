"""One container of the image, run as hardened as the README says."""

import json
import re
from pathlib import Path
from typing import Any, Self

from tests.harness.waiting import wait_until

from .engine import Engine
from .standin import StandIn

SESSION = "shula-whatsapp"
PROGRAMS = ("browser-agent", "redis", "scheduler", "web", "worker")  # and webhooks, where WEBHOOK_URL is set


class Container:
    """A context manager. Variables given as keywords go to its environment."""

    def __init__(
        self, engine: Engine, image: str, stand_in: StandIn, seccomp: Path | None, name: str, volume: str
    ) -> None:
        self.engine = engine
        self.name = name
        self._image = image
        self._hardening = [
            "--read-only",
            "--tmpfs=/tmp",
            "--tmpfs=/run",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            *([f"--security-opt=seccomp={seccomp}"] if seccomp else []),
        ]
        if engine.command == "podman":  # it would mend by itself what Docker's users have to name
            self._hardening.append("--read-only-tmpfs=false")
        self._options = [
            f"--network=container:{stand_in.name}",
            f"--volume={volume}:/data",
            *("--env", f"WHATSAPP_WEB_URL={stand_in.url}"),
            *("--env", "HEALTH_CHECK_CRON=*/2 * * * * *"),
        ]

    def plain(self) -> Self:
        """As who only copies the README's command runs it."""
        self._hardening = []
        return self

    def with_options(self, *options: str, **variables: str) -> Self:
        """More options of the engine, and variables."""
        self._options += [*options, *(word for pair in variables.items() for word in ("--env", "=".join(pair)))]
        return self

    def without_option(self, option: str) -> Self:
        """Less hardened, or less able, than the others."""
        (self._options if option in self._options else self._hardening).remove(option)
        return self

    def with_seccomp(self, profile: Path) -> Self:
        """Under another profile than Docker's own."""
        kept = [option for option in self._hardening if not option.startswith("--security-opt=seccomp=")]
        self._hardening = [*kept, f"--security-opt=seccomp={profile}"]
        return self

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.remove(self.name)

    def start(self) -> None:
        self.engine.run(self.name, self._image, [*self._hardening, *self._options], [])

    def stop(self, within_s: int = 10) -> int:
        """`docker stop`, with its default patience; the exit status."""
        self.engine.call("stop", "--time", str(within_s), self.name)
        return self.wait_exit(10)

    def wait_exit(self, within_s: float) -> int:
        """Wait until it ends by itself; its exit status."""
        wait_until(lambda: self.engine.exit_status(self.name) is not None, within_s, "the container ends", every_s=0.2)
        status = self.engine.exit_status(self.name)
        assert status is not None
        return status

    # -- what can be seen --------------------------------------------------------------------------------------------

    def exec(self, *command: str, within_s: float = 60) -> str:
        return self.engine.exec(self.name, *command, within_s=within_s)

    def shell(self, script: str) -> str:
        """What a script prints, run as the image's own user."""
        return self.exec("bash", "-c", script)

    def log(self) -> str:
        return self.engine.logs(self.name)

    def programs(self) -> dict[str, tuple[str, int]]:
        """Each program's state by supervisord, and its process id, 0 where it does not run."""
        told = self.engine.tried("exec", self.name, "supervisorctl", "status").stdout
        found = {}
        for line in told.splitlines():
            name, state = line.split()[:2]
            pid = re.search(r"pid (\d+)", line)
            found[name] = (state, int(pid[1]) if pid else 0)
        return found

    def state(self) -> str:
        """The session's; empty while nothing is told."""
        asked = self.engine.tried("exec", self.name, "whatsapp-container", "status", "--json")
        return str(json.loads(asked.stdout).get("state", "")) if asked.stdout else ""

    def wait_state(self, state: str, within_s: float = 90) -> None:
        """Fails with the log where it is not reached."""
        try:
            wait_until(lambda: self.state() == state, within_s, f"state {state}", every_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.state()!r}\n{self.log()[-4000:]}") from None

    def events(self, event_type: str) -> list[dict[str, Any]]:
        """The data of the events of a type so far."""
        return [event["data"] for _told_at, event in self._stream() if event["type"] == event_type]

    def told_at(self, event_type: str) -> list[float]:
        """When each event of a type was told, in epoch seconds by Redis' clock, which is the machine's."""
        return [told_at for told_at, event in self._stream() if event["type"] == event_type]

    def _stream(self) -> list[tuple[float, dict[str, Any]]]:
        script = (
            "import os, json, redis\n"
            "entries = redis.Redis(password=os.environ.get('REDIS_PASSWORD')).xrange(b'whatsapp:%s:events')\n"
            "at = lambda entry_id: int(entry_id.split(b'-')[0]) / 1000\n"
            "print(json.dumps([(at(entry_id), json.loads(fields[b'event'])) for entry_id, fields in entries]))"
        ).replace("%s", SESSION)
        return [(told_at, event) for told_at, event in json.loads(self.exec("python", "-c", script))]
