"""Docker or podman, as far as these tests need it."""

import json
import subprocess
from typing import Any

CALL_WITHIN_S = 60.0


class EngineError(Exception):
    """A call of the engine failed; the message is what it said."""


class Engine:
    """`command` is what is called: docker, or podman."""

    def __init__(self, command: str) -> None:
        self.command = command

    def call(self, *arguments: str, within_s: float = CALL_WITHIN_S, stdin: str | None = None) -> str:
        """What it prints. Raises EngineError."""
        done = self.tried(*arguments, within_s=within_s, stdin=stdin)
        if done.returncode:
            raise EngineError(f"{' '.join(arguments)}: {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def tried(
        self, *arguments: str, within_s: float = CALL_WITHIN_S, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Its exit status and what it prints, whatever they are."""
        return subprocess.run(
            [self.command, *arguments], input=stdin, capture_output=True, text=True, timeout=within_s, check=False
        )

    def run(self, name: str, image: str, options: list[str], command: list[str]) -> None:
        """Start a container in the background."""
        self.call("run", "--detach", "--name", name, *options, image, *command)

    def exec(self, name: str, *command: str, within_s: float = CALL_WITHIN_S, stdin: str | None = None) -> str:
        """What a command prints that is run in a container. Raises EngineError."""
        interactive = [] if stdin is None else ["--interactive"]
        return self.call("exec", *interactive, name, *command, within_s=within_s, stdin=stdin)

    def exit_status(self, name: str) -> int | None:
        """None while it runs."""
        state = json.loads(self.call("inspect", "--type", "container", name))[0]["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def config(self, image: str) -> dict[str, Any]:
        """What the image says of itself."""
        config: dict[str, Any] = json.loads(self.call("image", "inspect", image))[0]["Config"]
        return config

    def health_check(self, image: str) -> str:
        """How the engine asks whether it is alive. What buildah 1.28 has built says so in its history alone."""
        document = json.loads(self.call("image", "inspect", image))[0]
        found = document.get("HealthCheck") or document["Config"].get("Healthcheck")
        if found:
            return " ".join(found["Test"])
        steps = [str(step.get("created_by")) for step in document.get("History", [])]
        return next((step for step in steps if "HEALTHCHECK" in step), "")

    def logs(self, name: str) -> str:
        """Both outputs, from the beginning."""
        done = self.tried("logs", name)
        return done.stdout + done.stderr

    def remove(self, name: str) -> None:
        """At once, also one that runs; one that is not there is no error."""
        self.tried("rm", "--force", "--time", "0", name) if self.command.endswith("podman") else self.tried(
            "rm", "--force", name
        )

    def remove_volume(self, name: str) -> None:
        """One that is not there is no error."""
        self.tried("volume", "rm", "--force", name)
