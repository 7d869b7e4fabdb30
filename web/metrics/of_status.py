"""What the agent says of itself, with ages of now."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from whatsapp_contract.health import Limits, Verdict, verdict
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

from .families import counter, gauge, one_of

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def metrics(status: Status | None, now: datetime) -> Iterator["Metric"]:
    """Nothing where no agent has ever spoken."""
    if status is None:
        return
    assessment = verdict(status.facts, Limits(), now)
    yield one_of("state", "The session's state.", status.state.value, [state.value for state in SessionState])
    yield one_of("verdict", "What the facts amount to now.", assessment.verdict.value, [one.value for one in Verdict])
    yield gauge("ready", "Whether messages can flow.", float(assessment.verdict is Verdict.HEALTHY))
    yield gauge("state_age_seconds", "For how long it has been in its state.", _age_s(status.since, now))
    yield gauge("heartbeat_age_seconds", "Since the agent's last sign of life.", status.age_s(now))
    yield gauge("page_age_seconds", "Since the page's last answer.", _age_s(status.page_seen_at, now))
    yield gauge("page_answer_seconds", "How long that took.", _per_1000(status.page_took_ms))
    heard = "Since the last frame from WhatsApp's server."
    yield gauge("server_age_seconds", heard, _age_s(status.frame_seen_at, now))
    yield gauge("message_age_seconds", "Since the last message event.", _age_s(status.message_event_at, now))
    yield gauge("browser_memory_bytes", "Of the browser's process tree.", status.memory_bytes)
    yield gauge("browser_memory_limit_bytes", "Above which it is relieved.", status.memory_limit_bytes)
    yield gauge("event_loop_lag_seconds", "The agent's, the worst of ten seconds.", _per_1000(status.loop_lag_ms))
    yield from _of_session(status, now)
    yield counter("refused_commands", "Commands with nobody to tell what is wrong.", status.refused_commands)
    yield counter("dropped_events", "Events that did not fit while Redis was away.", status.dropped_events)
    versions = {
        "service": status.service_version or "",
        "browser": status.browser_version or "",
        "wa_js": status.wa_js_version or "",
        "whatsapp_web": status.whatsapp_web_version or "",
    }
    yield gauge("build_info", "What it is made of.", 1.0, versions)


def _of_session(status: Status, now: datetime) -> Iterator["Metric"]:
    yield gauge("snapshot_age_seconds", "Since the session was last saved.", _age_s(status.session_saved_at, now))
    yield gauge("snapshot_bytes", "The session as stored.", status.session_bytes)
    yield gauge("snapshot_took_seconds", "The last save, in all.", _per_1000(status.session_save_took_ms))
    stood_still = "For how long the browser was stopped for it."
    yield gauge("snapshot_stood_still_seconds", stood_still, _per_1000(status.session_stood_still_ms))
    troubled = float(status.session_problem is not None)
    yield gauge("session_trouble", "Whether it cannot be saved or restored.", troubled)


def _age_s(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()


def _per_1000(value: float | None) -> float | None:
    return None if value is None else value / 1000
