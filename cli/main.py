"""The command line's door: one module per group of subcommands, loaded when one of them is called."""

import os
from importlib import import_module

import click

_COMMANDS = {
    "run": "cli.run",
    "status": "cli.look",
    "qr": "cli.look",
    "check": "cli.look",
    "events": "cli.look",
    "incidents": "cli.incidents",
    "doctor": "cli.doctor",
    "reset": "cli.act",
    "restart": "cli.act",
    "logout": "cli.act",
    "pair": "cli.act",
    "call": "cli.act",
    "session": "cli.session",
    "media": "cli.media",
    "send": "cli.send",
    "sends": "cli.send",
    "suppress": "cli.send",
    "webhooks": "cli.webhooks",
}


class _Commands(click.Group):
    """`run` is PID 1's way in and must not load what the others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name)
        return command


def _tell_versions(ctx: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if not is_asked:
        return
    from .versions import versions

    for name, version in versions(os.environ).items():
        click.echo(f"{name} {version}")
    ctx.exit()


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_tell_versions, help="What it is made of."
)
def cli() -> None:
    """Keeps one WhatsApp Web session alive and bridges it to a backend over Redis.

    Reads the same environment as the service. Exit codes: 0 done, 1 failed, 2 bad settings or usage, 3 no agent
    answers, 4 the session is not ready, 5 Redis does not answer.
    """
