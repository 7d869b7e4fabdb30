"""Whether this container does its work, and whether the session is ready: two different questions."""

from dataclasses import dataclass
from datetime import datetime

from whatsapp_contract.health import Limits, Verdict, verdict
from whatsapp_contract.status import Status

# An agent that has not beaten for so long does not do its work; a container that young may not have one yet.
HEARTBEAT_WITHIN_S = 60.0
START_GRACE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """An HTTP status and one word for it."""

    code: int
    status: str


def alive(status: Status | None, trouble: str | None, instance: str, uptime_s: float, now: datetime) -> Answer:
    """/healthz: is the agent of this container alive? Where the status cannot be read it is degraded, not dead: no
    restart brings Redis back."""
    if trouble:
        return Answer(200, "degraded")
    if status is not None and status.instance == instance and status.age_s(now) < HEARTBEAT_WITHIN_S:
        return Answer(200, "ok")
    if uptime_s < START_GRACE_S:
        return Answer(200, "starting")
    return Answer(503, "agent_silent")


def ready(status: Status | None, trouble: str | None, now: datetime) -> Answer:
    """/readyz: can messages flow, by evidence that is fresh now? `trouble` is why the status cannot be read."""
    if trouble:
        return Answer(503, trouble)
    if status is None:
        return Answer(503, "no_agent")
    if status.age_s(now) > HEARTBEAT_WITHIN_S:
        return Answer(503, "agent_silent")
    assessment = verdict(status.facts, Limits(), now)
    if assessment.verdict is Verdict.HEALTHY:
        return Answer(200, "ready")
    return Answer(503, assessment.reason)
