"""Whether this container does its work, and whether the session is ready: two different questions."""

from dataclasses import dataclass
from datetime import datetime

from whatsapp_contract.health import OUTRUN, Limits, Verdict, verdict
from whatsapp_contract.status import Status

# An agent that has not beaten for so long does not do its work; a container that young may not have one yet.
HEARTBEAT_WITHIN_S = 60.0
START_GRACE_S = 60.0


# A person must say which of two containers is to hold the session; a restart of this one would fight for it.
HELD_ELSEWHERE = "held_elsewhere"


@dataclass(frozen=True)
class Answer:
    """An HTTP status and one word for it."""

    code: int
    status: str

    def shown(self, yes: str, no: str) -> str:
        """For somebody who may not know more."""
        return yes if self.code == 200 else no


def alive(
    status: Status | None, trouble: str | None, instance: str, uptime_s: float, now: datetime, *, aside: bool = False
) -> Answer:
    """/healthz: is the agent of this container alive? Where the status cannot be read it is degraded, not dead: no
    restart brings Redis back. `aside` is whether the agent lives and stands aside for another that holds the session;
    one that was outrun says so in its own status."""
    if trouble:
        return Answer(200, "degraded")
    if status is not None and status.instance == instance and status.age_s(now) < HEARTBEAT_WITHIN_S:
        return Answer(200, HELD_ELSEWHERE if status.reason == OUTRUN else "ok")
    if aside:
        return Answer(200, HELD_ELSEWHERE)
    if uptime_s < START_GRACE_S:
        return Answer(200, "starting")
    return Answer(503, "agent_silent")


def ready(status: Status | None, trouble: str | None, now: datetime, *, aside: bool = False) -> Answer:
    """/readyz: can messages flow through this container, by evidence that is fresh now? `trouble` is why the status
    cannot be read; with `aside` they flow through another."""
    if trouble:
        return Answer(503, trouble)
    if aside:
        return Answer(503, HELD_ELSEWHERE)
    if status is None:
        return Answer(503, "no_agent")
    if status.age_s(now) > HEARTBEAT_WITHIN_S:
        return Answer(503, "agent_silent")
    assessment = verdict(status.facts, Limits(), now)
    if assessment.verdict is Verdict.HEALTHY:
        return Answer(200, "ready")
    return Answer(503, assessment.reason)
