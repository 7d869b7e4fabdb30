"""The list of subcommands: each with a help that is not cut off."""

import click
import pytest
from click.testing import CliRunner

from cli.main import cli

GROUPS = [[], ["session"], ["media"], ["send"], ["sends"], ["suppress"], ["webhooks"]]


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_no_help_is_cut_off(group: list[str]) -> None:
    told = CliRunner().invoke(cli, [*group, "--help"], terminal_width=80).output
    listed = told.partition("Commands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.rstrip().endswith("...")] == []


@pytest.mark.parametrize("args", ["[]", "{", "3"])
def test_call_refuses_what_are_no_arguments_before_anything_is_asked(args: str) -> None:
    told = CliRunner().invoke(cli, ["call", "screenshot", args], env={"REDIS_PORT": "1"})
    assert told.exit_code == 2
    assert "the arguments are no JSON" in told.output


def test_every_group_is_looked_at() -> None:
    context = click.Context(cli)
    found = [cli.get_command(context, name) for name in cli.list_commands(context)]
    groups = {command.name for command in found if isinstance(command, click.Group) and command.commands}
    assert groups - {"incidents"} == {name for group in GROUPS for name in group}
