"""incidents: what went wrong, what was done about it, and what cured it."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from whatsapp_contract.incidents import INCIDENTS_KEPT, LEFT, Incident

from .output import Cli, Exit, json_option

if TYPE_CHECKING:
    from workers.incidents import IncidentLog

_COLUMNS = "{:<22} {:<19} {:<32} {:<38} {:<16} {}"


@click.group(short_help="Say what went wrong, and what cured it.", invoke_without_command=True)
@click.option("--last", "-n", default=20, show_default=True, type=click.IntRange(1, INCIDENTS_KEPT), help="How many.")
@json_option
@click.pass_context
def incidents(ctx: click.Context, last: int, as_json: bool) -> None:
    """Say what went wrong lately, what was done about it, and for how long messages could not flow."""
    if ctx.invoked_subcommand is not None:
        return
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        found = _log(cli).last(last)
    table = [_COLUMNS.format("id", "when (UTC)", "first bad fact", "rungs", "cured by", "not ready for")]
    table += [_row(incident) for incident in found]
    cli.show(
        {"incidents": [incident.model_dump(mode="json") for incident in found]},
        "\n".join(table) if found else "nothing went wrong",
    )


@incidents.command()
@click.argument("incident_id", metavar="ID")
@json_option
def show(incident_id: str, as_json: bool) -> None:
    """Show one incident, each rung with its time. Exit code 1 where it is not known, or not any more."""
    cli = Cli(as_json)
    with cli.working("asking Redis"):
        incident = _log(cli).get(incident_id)
    if incident is None:
        cli.fail(Exit.FAILED, "not_found", f"no incident {incident_id} is known that can be read")
    cli.show(incident.model_dump(mode="json"), _story(incident))


def _log(cli: Cli) -> "IncidentLog":
    from workers.incidents import IncidentLog

    return IncidentLog(cli.client.redis, cli.client.names)


def _row(incident: Incident) -> str:
    rungs = ", ".join(rung.rung for rung in incident.rungs) or "none"
    fact = f"{incident.verdict}: {incident.reason}"
    return _COLUMNS.format(
        incident.id, f"{incident.bad_since:%Y-%m-%d %H:%M:%S}", fact, rungs, _end(incident), _lasting(incident)
    ).rstrip()


def _story(incident: Incident) -> str:
    def after(moment: datetime) -> str:
        return f"+{(moment - incident.bad_since).total_seconds():.1f} s"

    lines = [
        f"{incident.id} on {incident.instance}",
        f"{incident.bad_since:%Y-%m-%d %H:%M:%S} UTC  {incident.verdict}: {incident.reason}",
        f"{after(incident.found_at):>12}  found",
    ]
    did: list[tuple[datetime, str]] = []
    for rung in incident.rungs:
        done = f"failed ({rung.error})" if rung.error else ""
        if rung.took_ms is not None:
            done = f"carried out in {rung.took_ms / 1000:.1f} s"
        did.append((rung.at, f"{rung.rung} for {rung.cause} {done}".rstrip()))
    if incident.person_at is not None:
        did.append((incident.person_at, "somebody restarted the agent"))
    lines += [f"{after(at):>12}  {what}" for at, what in sorted(did)]
    if incident.ended_as == LEFT:
        lines.append("its container is gone: how it ended is not known")
    elif incident.ended_at is not None:
        lines.append(f"{after(incident.ended_at):>12}  {incident.ended_as}; cured by {_end(incident)}")
        lines.append(f"not ready for {_lasting(incident)}")
    else:
        lines.append("it is not over")
    return "\n".join(lines)


def _end(incident: Incident) -> str:
    if incident.ended_at is None:
        return "not over"
    return incident.cured_by or ("not known" if incident.ended_as == LEFT else "nothing")


def _lasting(incident: Incident) -> str:
    return "" if incident.not_ready_s is None else f"{incident.not_ready_s:g} s"
