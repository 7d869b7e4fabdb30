"""The command line's door: one module per group of subcommands."""

import click

from .run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="whatsapp-container")
def cli() -> None:
    """Keeps one WhatsApp Web session alive and bridges it to a backend over Redis."""


cli.add_command(run)
