"""Webhooks: how they stand, their dead letters, trying those again."""

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime

import click

from whatsapp_contract.names import SessionNames
from whatsapp_contract.reading import Reading, carry_out
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import (
    DeadLetter,
    Handled,
    WebhookState,
    dead_letters,
    discard,
    forget,
    request_replay,
    states,
)

from .output import Cli, Exit, json_option


@click.group()
def webhooks() -> None:
    """Addresses that events are posted to (WEBHOOK_URL)."""


@webhooks.command("list", short_help="Show how each webhook stands.")
@json_option
def list_(as_json: bool) -> None:
    """Show how each webhook stands, by its host: how many events it is behind, whether it fails, dead letters.

    One that WEBHOOK_URL does not name any more keeps its place in the stream, and the stream long, until `forget`.
    """
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        found = carry_out(cli.client.redis, states(cli.client.names))
    named = {hook_id(url) for url in cli.settings.webhook_urls}
    now = datetime.now(UTC)
    document = [{**state.model_dump(mode="json"), "is_served": state.is_served_at(now)} for state in found]
    lines = [_line(state, now, is_named=state.id in named) for state in found]
    cli.show({"webhooks": document}, "\n".join(lines) or "there are no webhooks")


@webhooks.command(short_help="Show dead letters.")
@click.option("--last", "-n", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many at most.")
@click.option("--webhook", "hook", help="Only of the webhook with this ID.")
@json_option
def dead(last: int, hook: str | None, as_json: bool) -> None:
    """Show events that were given up, newest last; with --json one document an event, which is in `body`."""
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        found = carry_out(cli.client.redis, dead_letters(cli.client.names, last=last, hook=hook))
    for letter in found:
        cli.show(letter.model_dump(mode="json"), _letter(letter))
    if not as_json and not found:
        click.echo("there are no dead letters")


@webhooks.command(short_help="Try dead letters again.")
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@json_option
def replay(ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Try dead letters again, by their IDs. One stays in the list until it is taken. Exit code 1 where there is none
    with an ID."""
    _with_letters(as_json, ids, every, request_replay, "to be tried again")


@webhooks.command("discard", short_help="Take dead letters away for good.")
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@json_option
def discard_(ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Take dead letters away for good, by their IDs. Exit code 1 where there is none with an ID."""
    _with_letters(as_json, ids, every, discard, "taken away")


@webhooks.command("forget", short_help="Take away a webhook that is not used any more.")
@click.argument("hook", metavar="ID")
@json_option
def forget_(hook: str, as_json: bool) -> None:
    """Take away a webhook that WEBHOOK_URL does not name any more: its place in the stream, and its dead letters. Exit
    code 1 where it is still served, or there is none."""
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        found = {state.id: state for state in carry_out(cli.client.redis, states(cli.client.names))}
        if hook in found and found[hook].is_served_at(datetime.now(UTC)):
            cli.fail(Exit.FAILED, "in_use", "a service delivers to it: take it out of WEBHOOK_URL, and restart that")
        if not carry_out(cli.client.redis, forget(cli.client.names, hook)):
            cli.fail(Exit.FAILED, "not_found", f"there is no webhook {hook}")
    cli.show({"forgotten": hook}, f"{hook} is forgotten")


def _with_letters(
    as_json: bool,
    ids: tuple[str, ...],
    every: bool,
    what: Callable[[SessionNames, Collection[str] | None], Reading[Handled]],
    words: str,
) -> None:
    cli = Cli(as_json)
    if bool(ids) == every:
        cli.fail(Exit.BAD_SETTINGS, "bad_usage", "give IDs, or --all")
    with cli.working("asking Redis"):
        done = carry_out(cli.client.redis, what(cli.client.names, None if every else ids))
    lines = [f"{done.letters} {words}", *(f"no dead letter: {one}" for one in done.unknown)]
    cli.show({"letters": done.letters, "unknown": done.unknown}, "\n".join(lines))
    raise SystemExit(Exit.FAILED if done.unknown else Exit.OK)


def _line(state: WebhookState, now: datetime, *, is_named: bool) -> str:
    if not state.is_served_at(now):
        stand = "not served" if is_named else "not served, and not in WEBHOOK_URL"
    elif state.failing_since is not None:
        stand = f"fails since {state.failing_since:%Y-%m-%d %H:%M:%S}: {state.error}"
    else:
        stand = "works"
    last = f" last={state.succeeded_at:%Y-%m-%d_%H:%M:%S}" if state.succeeded_at else ""
    behind = "?" if state.behind is None else state.behind
    return f"{state.id} {state.host} {stand} delivered={state.delivered}{last} behind={behind} dead={state.dead}"


def _letter(letter: DeadLetter) -> str:
    try:
        kind = json.loads(letter.body)["type"]
    except (ValueError, KeyError, TypeError):
        kind = "?"
    return f"{letter.died_at:%Y-%m-%d %H:%M:%S} {letter.host} {kind} {letter.reason} {letter.id}"
