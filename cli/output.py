"""What every subcommand shares: the connection, the form of its output, the spinner, the exit code."""

import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn

import click

from whatsapp_contract.client import AgentClient
from whatsapp_contract.errors import AgentUnreachable, BadArguments, ContractError, NoReply, NotReady
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings, SettingsError

SPIN_AFTER_S = 1.0
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Exit(IntEnum):
    """Codes that scripts can use. 2 is also click's own, for a command line it does not understand."""

    OK = 0
    FAILED = 1
    BAD_SETTINGS = 2
    NO_AGENT = 3  # nobody listens, or nobody answers
    NOT_READY = 4  # the agent answers, but the session is not ready
    NO_REDIS = 5


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, errors included.")


class Cli:
    """One subcommand's surroundings."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        try:
            self.settings = Settings.from_env(os.environ)
        except SettingsError as error:
            self.fail(Exit.BAD_SETTINGS, "bad_settings", "; ".join(error.problems))
        self.client = AgentClient(connect(self.settings.redis_url.get_secret_value()), self.settings.session_id)

    def show(self, document: dict[str, Any], text: str) -> None:
        """The result, in the form that was asked for."""
        click.echo(json.dumps(document) if self.as_json else text)

    def fail(self, code: Exit, name: str, message: str) -> NoReturn:
        """End with a code, telling why."""
        if self.as_json:
            click.echo(json.dumps({"error": {"code": name, "message": message}}))
        else:
            click.echo(f"whatsapp-container: {message}", err=True)
        sys.exit(code)

    def confirm(self, question: str) -> None:
        """Go on where somebody says yes; else end with 1, also where there is nobody to ask."""
        try:
            if sys.stdin is not None and click.confirm(question, err=True):
                return
        except click.Abort:
            click.echo(err=True)  # nobody has ended the question's line
        self.fail(Exit.FAILED, "not_confirmed", "nothing was done: nobody said yes; --yes does it without asking")

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Around whatever may take longer than a second: a spinner on a terminal, and errors as exit codes."""
        try:
            with _spinner(what, enabled=not self.as_json and sys.stderr.isatty()):
                yield
        except ContractError as error:
            self.fail(_code_of(error), error.code, str(error))
        except Exception as error:
            if not is_outage(error):
                raise
            self.fail(Exit.NO_REDIS, "redis_away", f"Redis does not answer: {error}")


def _code_of(error: ContractError) -> Exit:
    if isinstance(error, (AgentUnreachable, NoReply)):
        return Exit.NO_AGENT
    if isinstance(error, BadArguments):
        return Exit.BAD_SETTINGS
    return Exit.NOT_READY if isinstance(error, NotReady) else Exit.FAILED


@contextmanager
def _spinner(what: str, *, enabled: bool) -> Iterator[None]:
    done = threading.Event()

    def spin() -> None:
        if done.wait(SPIN_AFTER_S):
            return
        for frame in itertools.cycle(_FRAMES):
            click.echo(f"\r{frame} {what}", err=True, nl=False)
            if done.wait(0.1):
                click.echo("\r\033[K", err=True, nl=False)
                return

    spinner = threading.Thread(target=spin, daemon=True)
    if enabled:
        spinner.start()
    try:
        yield
    finally:
        done.set()
        if enabled:
            spinner.join()
