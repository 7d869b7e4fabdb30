"""The ladder of recovery: a pure function from an observation and what is remembered to the next rung.

The watchdog must never be the outage. So: two agreeing observations come before a rung; what comes up in its time,
waits for a person, or is being worked on is left alone; a rung proves itself by a good observation before its
deadline, or the next follows; and after MOST_AGENT_RESTARTS in a window a person is called instead.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from whatsapp_contract.health import Verdict


class Rung(StrEnum):
    """Cheapest first. A rung's value is also the agent's command, down to restart_browser."""

    RESET = "reset"
    RELOAD = "reload"
    RESTART_BROWSER = "restart_browser"
    RESTART_AGENT = "restart_agent"
    HOLD = "hold"


RUNGS = tuple(Rung)

# Where to begin: a cheaper rung cannot cure this, so it is not tried.
FIRST_RUNG = {
    Verdict.DISCONNECTED: Rung.RESET,
    Verdict.PAGE_HUNG: Rung.RELOAD,
    Verdict.BROWSER_GONE: Rung.RESTART_BROWSER,
    Verdict.AGENT_HUNG: Rung.RESTART_AGENT,
    Verdict.AGENT_GONE: Rung.RESTART_AGENT,
}
_GOOD = frozenset({Verdict.HEALTHY, Verdict.WAITING_FOR_PERSON, Verdict.BLOCKED})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Limits(_Model):
    """Times in seconds. A rung's deadline counts from when it was taken, its own work included."""

    agree_within_s: float = 60.0  # two observations further apart than this do not agree on anything
    stood_for_s: float = 5.0  # the agent's own dated observation, this old, counts as the first of the two
    deadlines_s: dict[Rung, float] = {
        Rung.RESET: 20.0,
        Rung.RELOAD: 40.0,
        Rung.RESTART_BROWSER: 60.0,
        Rung.RESTART_AGENT: 60.0,
        Rung.HOLD: 3600.0,
    }
    most_agent_restarts: int = 3
    agent_restart_window_s: float = 600.0


class Observation(_Model):
    """What one check saw. `standing_since` is when the agent itself first saw it, where it did; epoch seconds."""

    verdict: Verdict
    reason: str
    at: float
    standing_since: float | None = None
    operation: str | None = None  # under way in the agent
    agent_epoch: int | None = None


class Attempt(_Model):
    """A rung that was taken and has not been proven yet."""

    rung: Rung
    at: float
    verdict: Verdict  # what it is to cure
    failed: bool = False
    agent_epoch: int | None = None


class Memory(_Model):
    """What the ladder remembers between checks."""

    suspect: Observation | None = None
    attempt: Attempt | None = None
    agent_restarts: tuple[float, ...] = ()


class Decision(_Model):
    """The rung to take now, if any, and what to remember."""

    rung: Rung | None
    cause: str
    memory: Memory


def decide(memory: Memory, seen: Observation, limits: Limits) -> Decision:
    """What to do about an observation. Pure; times are epoch seconds."""
    if seen.operation is not None:  # what was suspected before it is being worked on
        return _nothing(memory.model_copy(update={"suspect": None}))
    if seen.verdict in _GOOD:
        return _nothing(memory.model_copy(update={"suspect": None, "attempt": None}))
    if seen.verdict is Verdict.DEGRADED:
        # Coming up: neither good nor bad. A rung under way may be just what it comes up from.
        return _nothing(memory.model_copy(update={"suspect": None}))

    attempt = memory.attempt
    if attempt is not None and _cured(attempt, seen):
        attempt = None
    if attempt is not None and _has_time(attempt, seen, limits):
        return _nothing(memory)
    if attempt is not None and _is_recent(attempt, seen, limits):
        return _take(_after(attempt.rung, seen.verdict), seen, memory, limits)
    if not _agreed(memory.suspect, seen, limits):
        return _nothing(Memory(suspect=seen, agent_restarts=memory.agent_restarts))
    return _take(FIRST_RUNG[seen.verdict], seen, memory, limits)


def escalate(memory: Memory, failed: Rung, seen: Observation, limits: Limits) -> Decision:
    """The rung after one that failed, at once."""
    return _take(_after(failed, seen.verdict), seen, memory, limits)


def note_failure(memory: Memory) -> Memory:
    """The rung under way could not be carried out: the next bad observation leads to the next rung."""
    if memory.attempt is None:
        return memory
    return memory.model_copy(update={"attempt": memory.attempt.model_copy(update={"failed": True})})


def note_agent_restart(memory: Memory, at: float, limits: Limits) -> Memory:
    """Count a restart of the agent."""
    recent = [moment for moment in memory.agent_restarts if at - limits.agent_restart_window_s < moment <= at]
    return memory.model_copy(update={"agent_restarts": (*recent, at)})


def _cured(attempt: Attempt, seen: Observation) -> bool:
    """What is seen now is a lesser fault than the one the rung was for: that rung worked, and this one is new."""
    return RUNGS.index(FIRST_RUNG[seen.verdict]) < RUNGS.index(FIRST_RUNG[attempt.verdict])


def _has_time(attempt: Attempt, seen: Observation, limits: Limits) -> bool:
    """Whether a rung is still within its time. A hold ends when a person has restarted the agent; a clock that was
    set back ends every wait, or it would last for as long as the clock was stepped."""
    if attempt.failed or seen.at < attempt.at:
        return False
    if attempt.rung is Rung.HOLD and seen.agent_epoch is not None and seen.agent_epoch != attempt.agent_epoch:
        return False
    return seen.at - attempt.at < limits.deadlines_s[attempt.rung]


def _is_recent(attempt: Attempt, seen: Observation, limits: Limits) -> bool:
    """Whether what is seen is the sequel of the rung rather than a new fault long after. Nothing follows a hold."""
    ended = attempt.at + limits.deadlines_s[attempt.rung]
    return attempt.rung is not Rung.HOLD and seen.at - ended <= limits.agree_within_s


def _agreed(suspect: Observation | None, seen: Observation, limits: Limits) -> bool:
    if seen.standing_since is not None and seen.at - seen.standing_since >= limits.stood_for_s:
        return True
    if suspect is None or FIRST_RUNG[suspect.verdict] is not FIRST_RUNG[seen.verdict]:
        return False
    return 0 < seen.at - suspect.at <= limits.agree_within_s


def _after(rung: Rung, verdict: Verdict) -> Rung:
    """The next rung up, but none that cannot cure what is seen now."""
    following = RUNGS[min(RUNGS.index(rung) + 1, RUNGS.index(Rung.RESTART_AGENT))]
    return max(following, FIRST_RUNG.get(verdict, Rung.RESET), key=RUNGS.index)


def _take(rung: Rung, seen: Observation, memory: Memory, limits: Limits) -> Decision:
    if rung is Rung.RESTART_AGENT:
        window = seen.at - limits.agent_restart_window_s
        if sum(window < moment <= seen.at for moment in memory.agent_restarts) >= limits.most_agent_restarts:
            rung = Rung.HOLD
        else:
            memory = note_agent_restart(memory, seen.at, limits)
    cause = f"{seen.verdict}: {seen.reason}"
    attempt = Attempt(rung=rung, at=seen.at, verdict=seen.verdict, agent_epoch=seen.agent_epoch)
    return Decision(rung=rung, cause=cause, memory=memory.model_copy(update={"suspect": None, "attempt": attempt}))


def _nothing(memory: Memory) -> Decision:
    return Decision(rung=None, cause="", memory=memory)
