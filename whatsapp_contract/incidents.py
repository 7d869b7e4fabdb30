"""Incidents: what was wrong, what was done about it, what cured it. Written by the watchdog, read by whoever wants."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from .health import Verdict

INCIDENTS_KEPT = 1000
LEFT = "left"  # how an incident ends whose watchdog is gone, with its container: nobody saw its end


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class RungTaken(_Model):
    """One step of recovery."""

    rung: str  # as `Rung`: reset, reload, restart_browser, restart_agent, hold
    cause: str  # the verdict and the fact that decided it, at the time
    at: AwareDatetime
    took_ms: float | None = None  # until it was carried out; null while it is, or when it could not be
    error: str | None = None  # the code with which it failed


class Incident(_Model):
    """From the first bad fact to the first good one after it."""

    id: str
    instance: str
    verdict: Verdict
    reason: str  # the first bad fact
    bad_since: AwareDatetime  # when that fact began to stand, as far as it is known
    found_at: AwareDatetime  # when the watchdog first saw it
    rungs: tuple[RungTaken, ...] = ()
    person_at: AwareDatetime | None = None  # when a person restarted the agent meanwhile
    ended_at: AwareDatetime | None = None  # null: it is not over
    cured_by: str | None = None  # the rung after which it was well, or `person`; `itself` where none was carried out
    ended_as: str | None = None  # the verdict with which it ended: healthy, what waits for a person; LEFT
    not_ready_s: float | None = None  # how long messages could not flow; null while it is not over


class RestartCause(_Model):
    """Why the agent was ended, for the next one to tell."""

    cause: str
    incident: str | None = None

    @classmethod
    def read(cls, left: str | None) -> "RestartCause":
        """What whoever ended it has left, if anything."""
        if not left:
            return cls(cause="unknown")
        try:
            return cls.model_validate_json(left)
        except ValueError:
            return cls(cause=left)  # a former version's
