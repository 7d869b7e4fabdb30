"""Acting: reset, restart, logout, and any command."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import click

from whatsapp_contract.commands import COMMANDS
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.results import PairingCodeResult
from whatsapp_contract.status import SILENT_AFTER_S, Status

from .advice import TAKE_BACK
from .output import Cli, Exit, json_option

RESTART_WITHIN_S = 45.0

cause_option = click.option("--cause", default="cli", show_default=True, help="Goes into the event that tells of it.")


@click.command()
@cause_option
@json_option
def reset(cause: str, as_json: bool) -> None:
    """Give the session a new connection to WhatsApp, and prove it. Exit code 1 when it could not be proven."""
    cli = Cli(as_json)
    with cli.working("resetting the connection"):
        result = cli.client.call("reset", {"cause": cause})
    cli.show(result.model_dump(mode="json"), "reset: a new connection was seen")


@click.command(short_help="Restart the agent, or only its browser.")
@click.option("--browser", is_flag=True, help="Only the browser, by the agent itself.")
@cause_option
@json_option
def restart(browser: bool, cause: str, as_json: bool) -> None:
    """Restart the agent (through the worker of the container that holds the session), or only its browser."""
    cli = Cli(as_json)
    if browser:
        with cli.working("restarting the browser"):
            result = cli.client.call("restart_browser", {"cause": cause})
        cli.show(result.model_dump(mode="json"), "restarted: a new browser runs and its page answers")
        return
    with cli.working("restarting the agent"):
        epoch = _restart_agent(cli, cause)
    if epoch is None:
        why = why_none(cli.client.status(), datetime.now(UTC))
        cli.fail(Exit.NO_AGENT, "no_reply", f"no new agent within {RESTART_WITHIN_S:g} s; {why}")
    cli.show({"epoch": epoch}, f"restarted: the agent's start {epoch}")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@cause_option
@json_option
def logout(yes: bool, cause: str, as_json: bool) -> None:
    """Unlink this device from the account. Somebody must scan a QR code afterwards."""
    cli = Cli(as_json)
    if not yes:
        cli.confirm(f"Log session {cli.settings.session_id} out?")
    with cli.working("logging out"):
        result = cli.client.call("logout", {"cause": cause})
    cli.show(result.model_dump(mode="json"), "logged out: a QR code is on show")


@click.command(short_help="Link by a code for a phone number, in place of the QR code.")
@click.argument("phone", required=False)
@json_option
def pair(phone: str | None, as_json: bool) -> None:
    """Print a code with which the account of PHONE (with its country code) is linked, in place of the QR code.

    Without PHONE it is asked for, and stands in no list of processes and in no history of a shell. Exit code 4 when
    nothing is to be linked now.
    """
    cli = Cli(as_json)
    given = phone if phone is not None else click.prompt("Phone number", err=True)
    with cli.working("asking WhatsApp for a code"):
        result = cli.client.call("pairing_code", {"phone": given})
    assert isinstance(result, PairingCodeResult)
    left_s = max(0, round((result.expires_at - datetime.now(UTC)).total_seconds()))
    text = (
        f"{result.code}\nOn the phone, within {left_s} s: WhatsApp > Linked devices > Link a device > Link with phone "
        f"number instead.\nIt expires at {result.expires_at:%H:%M:%S} UTC; no QR code is on show until then."
    )
    cli.show(result.model_dump(mode="json"), text)


@click.command(short_help="Send the agent any command.")
@click.argument("name", type=click.Choice(sorted(COMMANDS)), metavar="COMMAND")
@click.argument("args", default="{}", metavar="[JSON]")
@json_option
def call(name: str, args: str, as_json: bool) -> None:
    """Send the agent a COMMAND with its arguments as JSON, and print what it answers, as JSON.

    \b
    whatsapp-container call screenshot
    whatsapp-container call list_groups '{"members": true}'
    whatsapp-container call follow_chats '{"chats": ["groups"]}'
    """
    cli = Cli(as_json)
    try:
        given = json.loads(args)
    except ValueError as error:
        cli.fail(Exit.BAD_SETTINGS, "bad_json", f"the arguments are no JSON: {error}")
    if not isinstance(given, dict):
        cli.fail(Exit.BAD_SETTINGS, "bad_json", "the arguments are no JSON object")
    with cli.working(name):
        result = cli.client.call(name, given).model_dump(mode="json")
    cli.show(result, json.dumps(result, indent=2, ensure_ascii=False))


def why_none(status: Status | None, now: datetime) -> str:
    """What may have kept a new agent from coming up, by what is known of the one before."""
    if status is not None and (age_s := status.age_s(now)) > SILENT_AFTER_S:
        return f"the session is held by {status.instance}, which was last heard {age_s:.0f} s ago: {TAKE_BACK}"
    return "is the worker running?"


def _restart_agent(cli: Cli, cause: str) -> int | None:
    """The new agent's epoch; None when none came in time."""
    before = cli.client.status()
    if before is None:
        cli.fail(Exit.NO_AGENT, "no_agent", f"no agent has ever run for session {cli.settings.session_id}")
    from workers.restart_request import restart_request

    newest: Any = cli.client.redis.xrevrange(cli.client.names.events, count=1)
    names = InstanceNames(cli.settings.session_id, before.instance)
    # Where somebody has asked already it is his restart that is waited for: it ends the same agent.
    cli.client.redis.eval(*restart_request(names, cause, epoch=before.epoch))
    deadline = time.monotonic() + RESTART_WITHIN_S
    after = newest[0][0] if newest else "0"
    while time.monotonic() < deadline:
        entries: Any = cli.client.redis.xread({cli.client.names.events: after}, block=500)
        for _stream, found in entries or []:
            after = found[-1][0]
        status = cli.client.status()
        if status is not None and status.epoch > before.epoch:
            return status.epoch
    return None
