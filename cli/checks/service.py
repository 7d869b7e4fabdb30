"""The service: supervisord's programs, and what the agent says of itself."""

import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cli.advice import TAKE_BACK
from whatsapp_contract.client import AgentClient
from whatsapp_contract.health import LEFT_TO_A_PERSON, RETRIED_BY_AGENT, Limits, Verdict, verdict
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings
from whatsapp_contract.status import SILENT_AFTER_S, Status

from .finding import Finding, bad, ok, warn

AGENT_WITHIN_S = 15.0
SUPERVISORD_WITHIN_S = 15.0
CONNECT_WITHIN_S = 0.5

_AGENT, _SUPERVISORD = "agent", "supervisord"
_LOG = "read the service's log: docker logs, or where `make run` runs"
_SESSIONS = "docs/sessions.md tells what to do; the `alert` has the cause: whatsapp-container events --type alert"
_ADVICE = {
    "awaiting_scan": "scan the code: whatsapp-container qr",
    "pairing_code": "type the code for the phone's number into the phone; a QR code comes when it is over",
    "logged_out": "the phone unlinked this device: scan the new code: whatsapp-container qr",
    "conflict": "the account is open elsewhere: close WhatsApp Web there, then whatsapp-container restart --browser",
    "start_budget_spent": f"the browser died too often; {_LOG}, then whatsapp-container restart --browser",
    "outrun": "another service holds this session: stop one of the two",
    "site_unreachable": "see `site`",
    "store_unavailable": "see `session store`",
    "disk_trouble": "see `disk`",
}


def socket_path(settings: Settings) -> Path:
    """supervisord's."""
    return settings.run_dir / "supervisor.sock"


def service_runs(settings: Settings) -> bool:
    """Whether a supervisord listens there, be it frozen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_WITHIN_S)
        try:
            connection.connect(str(socket_path(settings)))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


def supervisord(settings: Settings, *, runs: bool) -> list[Finding]:
    """Its programs, where it runs."""
    from workers.process_control import ProcessControl, SupervisorUnavailable

    path = socket_path(settings)
    if not runs:
        found = f"nobody listens on {path}: no service runs here"
        advice = "start it with `whatsapp-container run`, or `make run`; if it runs, give this command its RUN_DIR"
        return [warn(_SUPERVISORD, found, advice)]
    control = ProcessControl(path)
    try:
        states = {name: control.state(name).name for name in control.programs()}
    except SupervisorUnavailable as error:
        return [bad(_SUPERVISORD, f"it does not answer ({error})", "it hangs: restart the container")]
    return [judge_programs(states, posts=bool(settings.webhook_urls))]


def judge_programs(states: Mapping[str, str], *, posts: bool = False) -> Finding:
    """By the states of its programs. A Redis of its own is STOPPED where another is used, and what posts to webhooks
    where there are none."""
    may_rest = {"redis"} if posts else {"redis", "webhooks"}
    told = {name: state for name, state in states.items() if not (name in may_rest and state == "STOPPED")}
    found = ", ".join(f"{name} {state.lower()}" for name, state in told.items() if state != "RUNNING")
    if not found:
        return ok(_SUPERVISORD, f"{', '.join(told)} run")
    if set(told.values()) <= {"RUNNING", "STARTING"}:
        return warn(_SUPERVISORD, found, "wait some seconds, then look again")
    return bad(_SUPERVISORD, found, f"{_LOG}; supervisorctl start NAME, or restart the container")


def agent(settings: Settings, *, runs_here: bool) -> list[Finding]:
    """From its status in Redis."""
    try:
        with connect(settings.redis_url.get_secret_value()) as redis:
            status = AgentClient(redis, settings.session_id).status()
    except ValueError:
        advice = f"somebody else wrote it: redis-cli del {settings.names.status}"
        return [bad(_AGENT, f"{settings.names.status} cannot be read", advice)]
    except Exception as error:
        if not is_outage(error):
            raise
        return [warn(_AGENT, "not known: Redis cannot be asked", "see `redis`")]
    return [judge_agent(status, datetime.now(UTC), settings.instance_id, runs_here=runs_here)]


def judge_agent(status: Status | None, now: datetime, instance: str, *, runs_here: bool) -> Finding:
    """By its heartbeat first, since all else is as old as that."""
    if status is None:
        if runs_here:
            return bad(_AGENT, "it has never spoken, though the service runs here", f"wait some seconds; then {_LOG}")
        return warn(_AGENT, "none has ever run for this session", "start the service")
    age_s = max(0.0, status.age_s(now))
    if age_s > SILENT_AFTER_S:
        found = f"last heard {_duration(age_s)} ago, on {status.instance}, in state {status.state}"
        if runs_here and status.instance != instance:
            return bad(_AGENT, f"{found}, not here ({instance})", TAKE_BACK)
        if runs_here:
            return bad(_AGENT, found, f"the worker restarts it; if not, whatsapp-container restart, and {_LOG}")
        return warn(_AGENT, found, f"start the service; if it runs elsewhere, look there, on {status.instance}")
    found = f"heard {age_s:.0f} s ago, state {status.state}" + (f" ({status.reason})" if status.reason else "")
    if status.instance != instance:
        found += f", on {status.instance}"
        if runs_here:
            return bad(_AGENT, f"{found}, not here ({instance})", _ADVICE["outrun"])
    return _judge_session(status, now, found)


def _judge_session(status: Status, now: datetime, found: str) -> Finding:
    assessment = verdict(status.facts, Limits(), now)
    reason = assessment.reason
    if reason == "start_budget_spent" and status.held_until is not None:
        found += f", no browser until {status.held_until:%H:%M:%S} UTC"
    if assessment.verdict is Verdict.HEALTHY:
        if status.session_problem:
            return warn(_AGENT, f"{found}; the session is not saved ({status.session_problem})", _SESSIONS)
        return ok(_AGENT, found)
    found += f"; {assessment.verdict} ({reason})"
    advice = _ADVICE.get(reason)
    if assessment.verdict is Verdict.WAITING_FOR_PERSON:
        if reason == "awaiting_scan":
            return warn(_AGENT, found, _ADVICE["pairing_code" if status.reason == "pairing_code" else reason])
        return bad(_AGENT, found, advice or (_SESSIONS if reason in LEFT_TO_A_PERSON else _LOG))
    if assessment.verdict is Verdict.DEGRADED:
        if reason in RETRIED_BY_AGENT:
            return bad(_AGENT, found, advice or _LOG)
        return warn(_AGENT, found, "it is coming up: look again in a minute")
    if assessment.verdict is Verdict.BLOCKED:
        return bad(_AGENT, found, "WhatsApp refuses this account, address or version: look at the phone, and update")
    return bad(_AGENT, found, f"the worker mends this within a minute; if not, {_LOG}")


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
