"""Messages out: send, how sends stand, who is never written to."""

import sys
from contextlib import suppress as suppress_error
from typing import Any
from uuid import uuid4

import click

from whatsapp_contract.errors import NotFound
from whatsapp_contract.results import SendResult, SendsStateResult, SuppressResult

from .output import Cli, Exit, json_option

key_option = click.option(
    "--key", help="The idempotency key: given again, the message goes out once. Default: a new one."
)
mention_option = click.option(
    "--mention", "mentions", multiple=True, help="Somebody whom the text mentions as @number."
)


@click.group()
def send() -> None:
    """Send a message. It is kept at once and goes out when its turn comes; `sends status KEY` tells how it stands.

    CHAT is a phone number with its country code or a chat's id, MESSAGE a message's key as in its event.
    """


@send.command()
@click.argument("chat")
@click.argument("text")
@mention_option
@key_option
@json_option
def text(chat: str, text: str, mentions: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Send a text; `-` reads it from stdin."""
    _send(as_json, "send_text", key, chat_id=chat, text=_text(text), mentions=list(mentions))


@send.command(short_help="Send a file.")
@click.argument("chat")
@click.argument("source")
@click.option("--caption")
@click.option("--filename", help="As it is called there; default: as the source is.")
@click.option("--mimetype")
@click.option(
    "--as",
    "kind",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "image", "video", "audio", "voice", "document", "sticker"]),
)
@key_option
@json_option
def media(
    chat: str,
    source: str,
    caption: str | None,
    filename: str | None,
    mimetype: str | None,
    kind: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Send a file: https://, s3://bucket/key, or a path below DATA_DIR/outgoing."""
    content = {"caption": caption, "filename": filename, "mimetype": mimetype}
    given = {name: value for name, value in content.items() if value is not None}
    _send(as_json, "send_media", key, chat_id=chat, source=source, kind=kind, **given)


@send.command(short_help="Send a text that quotes a message.")
@click.argument("message")
@click.argument("text")
@mention_option
@key_option
@json_option
def reply(message: str, text: str, mentions: tuple[str, ...], key: str | None, as_json: bool) -> None:
    """Send a text that quotes a message, to that message's chat; `-` reads it from stdin."""
    _send(as_json, "send_reply", key, message_key=message, text=_text(text), mentions=list(mentions))


@send.command()
@click.argument("message")
@click.argument("emoji", default="")
@key_option
@json_option
def reaction(message: str, emoji: str, key: str | None, as_json: bool) -> None:
    """React to a message; without an EMOJI the reaction is taken back."""
    _send(as_json, "send_reaction", key, message_key=message, reaction=emoji)


@click.group()
def sends() -> None:
    """Look at sends, stop them, let them go on."""


@sends.command("list", short_help="Show the sends that have no end yet.")
@click.option("--last", "-n", default=100, show_default=True, type=click.IntRange(1, 10_000), help="How many at most.")
@json_option
def list_(last: int, as_json: bool) -> None:
    """Show the sends that have no end yet, the oldest first: to which chat, and why and until when each waits."""
    cli = Cli(as_json)
    names, redis = cli.client.names, cli.client.redis
    with cli.working("asking Redis"):
        keys: Any = redis.zrange(names.sends_open, 0, last - 1)
        stopped: Any = redis.hget(names.sending, "stopped")
    results = []
    with cli.working("asking the agent"):
        for key in keys:
            with suppress_error(NotFound):  # it ended meanwhile, or this Redis has lost it
                results.append(_status(cli, key))
    lines = [f"nothing is sent: {stopped}"] if stopped else []
    lines += [_line(result, with_chat=True) for result in results] or ["no send is open"]
    document = {"stopped": stopped, "sends": [result.model_dump(mode="json") for result in results]}
    cli.show(document, "\n".join(lines))


@sends.command()
@click.argument("key")
@json_option
def status(key: str, as_json: bool) -> None:
    """Say how a send stands. Exit codes: 0 sent, 4 still open, 1 failed, or there is none."""
    cli = Cli(as_json)
    with cli.working("asking the agent"):
        result = _status(cli, key)
    cli.show(result.model_dump(mode="json"), _line(result))
    raise SystemExit({"sent": Exit.OK, "queued": Exit.NOT_READY, "failed": Exit.FAILED}[result.status])


@sends.command()
@click.option("--cause", default="cli", show_default=True, help="Told to whoever asks why nothing is sent.")
@json_option
def pause(cause: str, as_json: bool) -> None:
    """Send nothing until `sends resume`."""
    _change_state(as_json, "pause_sends", cause)


@sends.command()
@click.option("--cause", default="cli", show_default=True)
@json_option
def resume(cause: str, as_json: bool) -> None:
    """Go on with what waits."""
    _change_state(as_json, "resume_sends", cause)


@click.group()
def suppress() -> None:
    """Look after the list of those who are never written to."""


@suppress.command()
@click.argument("addresses", nargs=-1, required=True)
@json_option
def add(addresses: tuple[str, ...], as_json: bool) -> None:
    """Never write to these again."""
    _change_suppressed(as_json, {"add": list(addresses)})


@suppress.command()
@click.argument("addresses", nargs=-1, required=True)
@json_option
def remove(addresses: tuple[str, ...], as_json: bool) -> None:
    """Allow writing to these again."""
    _change_suppressed(as_json, {"remove": list(addresses)})


@suppress.command("list")
@json_option
def list_suppressed(as_json: bool) -> None:
    """Show the list."""
    _change_suppressed(as_json, {})


def _text(given: str) -> str:
    """Without the line's end that a shell adds."""
    return sys.stdin.read().removesuffix("\n") if given == "-" else given


def _send(as_json: bool, command: str, key: str | None, **content: Any) -> None:
    cli = Cli(as_json)
    with cli.working("handing it over"):
        result = cli.client.call(command, {"idempotency_key": key or str(uuid4()), **content})
    if not isinstance(result, SendResult):
        raise TypeError(type(result).__name__)
    cli.show(result.model_dump(mode="json"), _line(result))


def _status(cli: Cli, key: str) -> SendResult:
    result = cli.client.call("send_status", {"idempotency_key": key})
    if not isinstance(result, SendResult):
        raise TypeError(type(result).__name__)
    return result


def _change_state(as_json: bool, command: str, cause: str) -> None:
    cli = Cli(as_json)
    with cli.working("asking the agent"):
        result = cli.client.call(command, {"cause": cause})
    if not isinstance(result, SendsStateResult):
        raise TypeError(type(result).__name__)
    stopped = f"stopped ({result.stopped})" if result.stopped else "sends go out"
    cli.show(result.model_dump(mode="json"), f"{stopped}; {result.open} open")


def _change_suppressed(as_json: bool, change: dict[str, list[str]]) -> None:
    cli = Cli(as_json)
    with cli.working("asking the agent"):
        result = cli.client.call("suppress", change)
    if not isinstance(result, SuppressResult):
        raise TypeError(type(result).__name__)
    cli.show(result.model_dump(mode="json"), "\n".join(result.suppressed) or "the list is empty")


def _line(result: SendResult, *, with_chat: bool = False) -> str:
    facts = {
        "kind": result.kind,
        "chat": result.chat_id if with_chat else None,
        "message": result.message_key,
        "error": result.error,
        "attempts": result.attempts or None,
        "accepted": f"{result.accepted_at:%Y-%m-%d %H:%M:%S}",
        "next_try": None if result.next_try_at is None else f"{result.next_try_at:%Y-%m-%d %H:%M:%S}",
    }
    told = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
    why = f" ({result.detail})" if result.detail else ""
    return f"{result.idempotency_key}: {result.status} {told}{why}"
