"""Looking: status, qr, check, events."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import structlog

from whatsapp_contract import qr as qr_code
from whatsapp_contract.events import Event, EventType, QrOnShow
from whatsapp_contract.health import Limits, Verdict, verdict
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.status import SILENT_AFTER_S, Status

from .output import Cli, Exit, json_option

RETRY_EVERY_S = 1.0
TEXT_SHOWN = 80
Age = Callable[[datetime | None], str]


@click.command(short_help="Say how the session is.")
@json_option
def status(as_json: bool) -> None:
    """Say how the session is, from what the agent last said of itself.

    Exit codes: 0 ready, 4 not ready, 3 the agent is silent or never ran, 5 Redis is away.
    """
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        known = cli.client.status()
        sends_open, sends_stopped = _sends(cli)
    if known is None:
        cli.fail(Exit.NO_AGENT, "no_agent", f"no agent has ever run for session {cli.settings.session_id}")
    now = datetime.now(UTC)
    assessment = verdict(known.facts, Limits(), now)
    document = known.model_dump(mode="json") | {
        "verdict": assessment.verdict.value,
        "verdict_reason": assessment.reason,
        "heartbeat_age_s": round(known.age_s(now), 1),
        "sends_open": sends_open,
        "sends_stopped": sends_stopped,
    }
    sends = f"{sends_open} open" + (f"; nothing is sent: {sends_stopped}" if sends_stopped else "")
    text = f"{_status_text(known, assessment.verdict, assessment.reason, now)}\n{'sends':<10} {sends}"
    cli.show(document, text)
    if known.age_s(now) > SILENT_AFTER_S:
        raise SystemExit(Exit.NO_AGENT)
    raise SystemExit(Exit.OK if assessment.verdict is Verdict.HEALTHY else Exit.NOT_READY)


@click.command()
@json_option
def qr(as_json: bool) -> None:
    """Show the QR code that is now to be scanned. Exit code 4 when none is on show."""
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        kept: Any = cli.client.redis.get(cli.client.names.qr)
    if not kept:
        with cli.working("asking Redis"):
            status = cli.client.status()
        by_number = status is not None and status.reason == "pairing_code"
        why = ": a code for the phone's number was given, and a QR code comes when that is over" if by_number else ""
        cli.fail(Exit.NOT_READY, "no_qr", f"no QR code is on show{why}")
    shown = QrOnShow.model_validate_json(kept)
    left_s = max(0, round((shown.expires_at - datetime.now(UTC)).total_seconds()))
    text = f"{qr_code.as_text(shown.payload)}\nScan with WhatsApp > Linked devices, within {left_s} s."
    cli.show(shown.model_dump(mode="json"), text)


@click.command(short_help="Ask the agent, and the page, how it is.")
@json_option
def check(as_json: bool) -> None:
    """Ask the agent, and through it the page, how the session is right now.

    Exit codes: 0 healthy, 4 answered but not ready, 3 no answer, 1 the page or browser does not answer, 5 no Redis.
    """
    cli = Cli(as_json)
    with cli.working("asking the agent"):
        result = cli.client.check()
    facts = result.facts
    took_ms = facts.page_took_ms
    answered = "the page has not answered yet" if took_ms is None else f"the page answered in {took_ms:g} ms"
    text = f"{result.verdict} ({result.reason}); state {facts.state}; {answered}"
    if result.operation:
        text += f"; {result.operation} is under way"
    cli.show(result.model_dump(mode="json"), text)
    raise SystemExit(Exit.OK if result.verdict is Verdict.HEALTHY else Exit.NOT_READY)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--type", "-t", "types", multiple=True, type=click.Choice([kind.value for kind in EventType]))
@click.option("--last", "-n", default=20, show_default=True, type=click.IntRange(0), help="How many of the past.")
@json_option
def events(follow: bool, types: tuple[str, ...], last: int, as_json: bool) -> None:
    """Show events, one a line; with --json each is one JSON document."""
    cli = Cli(as_json)
    # What the library logs is not among the events.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    wanted = frozenset(types) or None
    with cli.working("reading the stream"):
        newest, past = _past(cli, wanted, last)
    for event in past:
        _show_event(cli, event)
    while follow:
        try:
            for event in cli.client.follow(newest, types=None):
                newest = event.id or newest
                if wanted is None or event.type in wanted:
                    _show_event(cli, event)
        except Exception as error:
            if not is_outage(error):
                raise
            click.echo("whatsapp-container: Redis does not answer; waiting", err=True)
            time.sleep(RETRY_EVERY_S)


def _sends(cli: Cli) -> tuple[int, str | None]:
    """How many have no end yet, and why none goes out, if that is so."""
    names, redis = cli.client.names, cli.client.redis
    is_open: Any = redis.zcard(names.sends_open)
    stopped: Any = redis.hget(names.sending, "stopped")
    return int(is_open), None if stopped is None else str(stopped)


def _past(cli: Cli, wanted: frozenset[str] | None, last: int) -> tuple[str, list[Event]]:
    """The newest entry's id, and the last events of the wanted types, oldest first."""
    from whatsapp_contract.following import readable_event

    entries: Any = cli.client.redis.xrevrange(cli.client.names.events, count=None if wanted else max(last, 1))
    newest = str(entries[0][0]) if entries else "0"
    found = (readable_event(entry_id, fields) for entry_id, fields in entries)
    fitting = [event for event in found if event is not None and (wanted is None or event.type in wanted)][:last]
    return newest, fitting[::-1]


def _show_event(cli: Cli, event: Event) -> None:
    data = " ".join(f"{key}={value}" for key, value in _in_short(event).items() if value is not None)
    text = f"{event.observed_at:%Y-%m-%d %H:%M:%S} {event.seq:>6} {event.type:<14} {data}"
    cli.show(event.model_dump(mode="json"), text)


def _in_short(event: Event) -> dict[str, Any]:
    """What of its data fits on a line; no code that could be scanned. `--json` shows all."""
    data = event.data
    if event.type == EventType.QR:
        return {"sequence": data.get("sequence"), "expires_at": data.get("expires_at"), "see": "whatsapp-container qr"}
    if event.type != EventType.MESSAGE:
        return data
    author = data.get("author") or {}
    text = str(data.get("text") or "").replace("\n", " ")
    return {
        "key": data.get("key"),
        "chat": data.get("chat_name"),
        "author": author.get("phone") or author.get("lid"),
        "type": data.get("type"),
        "source": data.get("source"),
        "text": f"{text[:TEXT_SHOWN]}…" if len(text) > TEXT_SHOWN else text or None,
    }


def _status_text(known: Status, now_verdict: Verdict, reason: str, now: datetime) -> str:
    def age(moment: datetime | None) -> str:
        return (
            "not since the agent's start"
            if moment is None
            else f"{max(0.0, (now - moment).total_seconds()):.0f} s ago"
        )

    versions = (
        ("browser", known.browser_version),
        ("WhatsApp Web", known.whatsapp_web_version),
        ("wa-js", known.wa_js_version),
    )
    lines = [
        ("session", known.session_id),
        ("state", f"{known.state} since {known.since:%Y-%m-%d %H:%M:%S} UTC"),
        ("verdict", f"{now_verdict} ({reason})"),
        ("agent", f"heard {age(known.heartbeat_at)}, start {known.epoch}, on {known.instance}"),
        ("page", f"answered {age(known.page_seen_at)}" + _page_text(known)),
        ("server", f"heard {age(known.frame_seen_at)}" + _site_text(known, age)),
        ("messages", _messages_text(known, age)),
        ("memory", _memory_text(known, age)),
        ("operation", known.operation or "none"),
        ("versions", ", ".join(f"{name} {version or 'not known yet'}" for name, version in versions)),
    ]
    return "\n".join(f"{name:<10} {value}" for name, value in lines)


def _page_text(known: Status) -> str:
    """What of the page is not as it should be."""
    odd = [
        "wa-js has not found its modules" if known.injected is False else "",
        f"broken with this build: {', '.join(known.broken_calls)}" if known.broken_calls else "",
        "the browser has no network" if known.online is False else "",
    ]
    return "".join(f"; {text}" for text in odd if text)


def _site_text(known: Status, age: Age) -> str:
    if known.browser_offline_since is not None:
        return (
            f"; it does not reach the site, which this container does, first seen {age(known.browser_offline_since)}"
        )
    if known.site_silent_since is not None:
        return f"; the site does not answer the page's own requests, first {age(known.site_silent_since)}"
    return f"; the site answered {age(known.site_answered_at)}" if known.site_answered_at else ""


def _messages_text(known: Status, age: Age) -> str:
    text = f"last in the page {age(known.stored_message_at)}, last event {age(known.message_event_at)}"
    return f"{text}; one is untold, seen {age(known.unheard_since)}" if known.unheard_since else text


def _memory_text(known: Status, age: Age) -> str:
    if known.memory_bytes is None:
        return "not measured yet"
    limit = f" of {known.memory_limit_bytes / 1e6:.0f} MB" if known.memory_limit_bytes else ""
    return f"the browser takes {known.memory_bytes / 1e6:.0f} MB{limit}, measured {age(known.memory_seen_at)}"
