"""The command line's door: one module per group of subcommands."""

import click

from . import act, look
from .run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="whatsapp-container")
def cli() -> None:
    """Keeps one WhatsApp Web session alive and bridges it to a backend over Redis.

    Reads the same environment as the service. Exit codes: 0 done, 1 failed, 2 bad settings or usage, 3 no agent
    answers, 4 the session is not ready, 5 Redis does not answer.
    """


for command in (run, look.status, look.qr, look.check, look.events, act.reset, act.restart, act.logout):
    cli.add_command(command)
