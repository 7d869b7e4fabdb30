"""Files of messages: which are on their way or failed, trying again, links."""

from datetime import UTC, datetime
from typing import Any

import click

from whatsapp_contract.media_record import MediaRecord, MediaState

from .output import Cli, Exit, json_option


@click.group()
def media() -> None:
    """Photos and files: what became of them."""


@media.command("list", short_help="Show files that wait or were given up.")
@click.option("--failed", is_flag=True, help="Only those that were given up.")
@click.option("--last", "-n", default=50, show_default=True, type=click.IntRange(1), help="How many at most.")
@json_option
def list_(failed: bool, last: int, as_json: bool) -> None:
    """Show files that are still to be stored and those that were given up, newest last; with --json one document a
    file."""
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        records = _records(cli, failed_only=failed, last=last)
        names = cli.client.names
        due, stored, dead = (
            cli.client.redis.zcard(n) for n in (names.media_due, names.media_stored, names.media_failed)
        )
    for record in records:
        cli.show(record.model_dump(mode="json"), _text(record))
    if not as_json:
        click.echo(f"{due} to be stored, {dead} failed, {stored} stored in the last 30 days")


@media.command()
@click.argument("keys", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that failed.")
@json_option
def retry(keys: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Try files again that were given up, by their messages' keys. Exit code 1 where a key is of no such file."""
    cli = Cli(as_json)
    if bool(keys) == every:
        cli.fail(Exit.BAD_SETTINGS, "bad_usage", "give keys, or --all")
    with cli.working("asking the agent"):
        result = cli.client.call("media_retry", {} if every else {"keys": list(keys)})
    answer = result.model_dump(mode="json")
    lines = [f"{answer['retried']} to be tried again", *(f"not failed: {key}" for key in answer["unknown"])]
    cli.show(answer, "\n".join(lines))
    raise SystemExit(Exit.FAILED if answer["unknown"] else Exit.OK)


@media.command(short_help="A link to a stored file.")
@click.argument("key")
@click.option("--expires-in", "expires_in_s", default=3600, show_default=True, type=click.IntRange(1), help="Seconds.")
@json_option
def url(key: str, expires_in_s: int, as_json: bool) -> None:
    """A link to a stored file that needs no credentials, by its message's key. Exit code 1 when it is not stored."""
    cli = Cli(as_json)
    with cli.working("asking the agent"):
        result = cli.client.call("media_url", {"key": key, "expires_in_s": expires_in_s})
    answer = result.model_dump(mode="json")
    cli.show(answer, str(answer["url"]))


def _records(cli: Cli, *, failed_only: bool, last: int) -> list[MediaRecord]:
    """Of the newest failed and the newest due."""
    names, redis = cli.client.names, cli.client.redis
    keys: list[Any] = [] if failed_only else list(_typed(redis.zrange(names.media_due, -last, -1)))
    keys += _typed(redis.zrange(names.media_failed, -last, -1))
    values = _typed(redis.hmget(names.media, keys)) if keys else []
    records = [MediaRecord.model_validate_json(value) for value in values if value]
    return sorted(records, key=lambda record: record.ended_at or record.seen_at)[-last:]


def _typed(answer: Any) -> list[Any]:
    """redis-py's annotations leave open whether it must be awaited."""
    return list(answer)


def _text(record: MediaRecord) -> str:
    at = datetime.fromtimestamp(record.seen_at, UTC)
    size = "?" if record.size is None else f"{record.size:,}"
    if record.state is MediaState.FAILED:
        stand = f"failed: {record.error}"
    else:
        stand = record.state + (f" (last try: {record.problem})" if record.problem else "")
    return f"{at:%Y-%m-%d %H:%M:%S} {record.mimetype or '?':<16} {size:>12} {stand:<24} {record.key}"
