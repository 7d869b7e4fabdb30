"""Files of messages: which are on their way, stored or failed, trying again, links."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from whatsapp_contract.kept_records import read_kept
from whatsapp_contract.media_record import MediaRecord, MediaState

from .output import Cli, Exit, json_option


@click.group()
def media() -> None:
    """Photos and files: what became of them."""


@media.command("list", short_help="Show files that wait, failed, or are stored.")
@click.option("--failed", is_flag=True, help="Only those that were given up.")
@click.option("--stored", is_flag=True, help="Instead those that are stored, with their URLs.")
@click.option("--last", "-n", default=50, show_default=True, type=click.IntRange(1), help="How many at most.")
@json_option
def list_(failed: bool, stored: bool, last: int, as_json: bool) -> None:
    """Show files that are still to be stored and those that were given up, newest last; with --json one document a
    file. What is stored is known for 30 days."""
    cli = Cli(as_json)
    if failed and stored:
        cli.fail(Exit.BAD_SETTINGS, "bad_usage", "give --failed or --stored")
    names = cli.client.names
    wanted = [names.media_stored] if stored else [names.media_failed]
    if not failed and not stored:
        wanted.append(names.media_due)
    with cli.working("asking Redis"):
        records = _records(cli, wanted, last)
        due, kept, dead = (
            cli.client.redis.zcard(n) for n in (names.media_due, names.media_stored, names.media_failed)
        )
    for record in records:
        cli.show(record.model_dump(mode="json"), _text(record))
    if not as_json:
        click.echo(f"{due} to be stored, {dead} failed, {kept} stored in the last 30 days")


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


def _records(cli: Cli, wanted: Iterable[str], last: int) -> list[MediaRecord]:
    """The newest in these sorted sets, by when they ended or were seen, without those that cannot be read."""
    redis = cli.client.redis
    keys = [key for name in wanted for key in _typed(redis.zrange(name, -last, -1))]
    values = _typed(redis.hmget(cli.client.names.media, keys)) if keys else []
    found = (read_kept(MediaRecord, value) for value in values)
    return sorted((record for record in found if record is not None), key=_at)[-last:]


def _typed(answer: Any) -> list[Any]:
    """redis-py's annotations leave open whether it must be awaited."""
    return list(answer)


def _at(record: MediaRecord) -> float:
    return record.ended_at or record.seen_at


def _text(record: MediaRecord) -> str:
    at = datetime.fromtimestamp(_at(record), UTC)
    size = "?" if record.size is None else f"{record.size:,}"
    match record.state:
        case MediaState.FAILED:
            stand = f"failed: {record.error}"
        case MediaState.STORED:
            stand = f"{record.url}"
        case _:
            stand = record.state + (f" (last try: {record.problem})" if record.problem else "")
    return f"{at:%Y-%m-%d %H:%M:%S} {record.mimetype or '?':<16} {size:>12} {stand:<24} {record.key}"
