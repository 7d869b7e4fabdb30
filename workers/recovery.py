"""The ladder of recovery: a pure function from an observation and what is remembered to the next rung.

The watchdog must never be the outage. So: two agreeing observations come before a rung; what comes up in its time,
waits for a person, or is being worked on is left alone; a rung proves itself by a good observation, and once its time
and that of coming up are over, the next follows; and after `most_agent_restarts`, in a window or without a good
observation between them, a person is called instead. So whatever is not cured ends in a hold.
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
    Verdict.DEAF: Rung.RELOAD,
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
    """A rung that was taken and has not been proven yet; only a good observation proves it."""

    rung: Rung
    at: float
    verdict: Verdict  # what it is to cure
    watched_at: float = 0.0  # the last observation since, none of them good
    failed: bool = False
    agent_epoch: int | None = None
    taken: tuple[Rung, ...] = ()  # all since the session was last well, this one included


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
    attempt = _still_open(memory.attempt, seen, limits)
    memory = memory.model_copy(update={"attempt": attempt})
    if seen.operation is not None or seen.verdict is Verdict.DEGRADED:
        # Worked on, or coming up: neither good nor bad. A rung under way may be just what it comes up from.
        return _nothing(memory.model_copy(update={"suspect": None}))
    if seen.verdict in _GOOD:
        return _nothing(memory.model_copy(update={"suspect": None, "attempt": None}))
    if attempt is not None and attempt.rung is Rung.HOLD:
        return _nothing(memory)

    if attempt is not None and not _is_lesser_fault(attempt, seen):
        if _has_time(attempt, seen, limits):
            return _nothing(memory)
        return _take(seen, memory, limits)
    if not _agreed(memory.suspect, seen, limits):
        return _nothing(memory.model_copy(update={"suspect": seen}))
    return _take(seen, memory, limits)


def escalate(memory: Memory, failed: Rung, seen: Observation, limits: Limits) -> Decision:
    """The rung after one that failed in a session that was well until then, at once."""
    attempt = Attempt(rung=failed, at=seen.at, verdict=seen.verdict, watched_at=seen.at, taken=(failed,))
    return _take(seen, memory.model_copy(update={"attempt": attempt}), limits)


def note_failure(memory: Memory) -> Memory:
    """The rung under way could not be carried out: the next bad observation leads to the next rung."""
    if memory.attempt is None:
        return memory
    return memory.model_copy(update={"attempt": memory.attempt.model_copy(update={"failed": True})})


def note_agent_restart(memory: Memory, at: float, limits: Limits) -> Memory:
    """Count a restart of the agent."""
    recent = [moment for moment in memory.agent_restarts if at - limits.agent_restart_window_s < moment <= at]
    return memory.model_copy(update={"agent_restarts": (*recent, at)})


def _still_open(attempt: Attempt | None, seen: Observation, limits: Limits) -> Attempt | None:
    """The attempt, as long as what is seen may be its sequel.

    A hold ends by its time, by a clock that was set back (or it would last for as long as that was), and when
    somebody has restarted the agent. Any other is followed up, unless nobody has looked for long since it ended.
    """
    if attempt is None:
        return None
    if attempt.rung is Rung.HOLD:
        is_over = not _has_time(attempt, seen, limits) or _is_another_agent(attempt, seen)
    else:
        ended_at = max(attempt.at + limits.deadlines_s[attempt.rung], attempt.watched_at)
        is_over = seen.at - ended_at > limits.agree_within_s
    return None if is_over else attempt.model_copy(update={"watched_at": seen.at})


def _is_another_agent(attempt: Attempt, seen: Observation) -> bool:
    epochs = attempt.agent_epoch, seen.agent_epoch
    return None not in epochs and epochs[0] != epochs[1]


def _is_lesser_fault(attempt: Attempt, seen: Observation) -> bool:
    """Whether the rung seems to have worked, and this is a new fault, to be agreed on."""
    return RUNGS.index(FIRST_RUNG[seen.verdict]) < RUNGS.index(FIRST_RUNG[attempt.verdict])


def _has_time(attempt: Attempt, seen: Observation, limits: Limits) -> bool:
    """Whether a rung is still within its time; a clock that was set back ends it."""
    return not attempt.failed and 0 <= seen.at - attempt.at < limits.deadlines_s[attempt.rung]


def _agreed(suspect: Observation | None, seen: Observation, limits: Limits) -> bool:
    if seen.standing_since is not None and seen.at - seen.standing_since >= limits.stood_for_s:
        return True
    if suspect is None or FIRST_RUNG[suspect.verdict] is not FIRST_RUNG[seen.verdict]:
        return False
    return 0 < seen.at - suspect.at <= limits.agree_within_s


def _take(seen: Observation, memory: Memory, limits: Limits) -> Decision:
    taken = memory.attempt.taken if memory.attempt else ()
    rung = _cheapest_untried(seen.verdict, taken)
    if rung is Rung.RESTART_AGENT:
        window = seen.at - limits.agent_restart_window_s
        lately = sum(window < moment <= seen.at for moment in memory.agent_restarts)
        if max(lately, taken.count(rung)) >= limits.most_agent_restarts:
            rung = Rung.HOLD
        else:
            memory = note_agent_restart(memory, seen.at, limits)
    attempt = Attempt(
        rung=rung,
        at=seen.at,
        verdict=seen.verdict,
        watched_at=seen.at,
        agent_epoch=seen.agent_epoch,
        taken=(*taken, rung),
    )
    cause = f"{seen.verdict}: {seen.reason}"
    return Decision(rung=rung, cause=cause, memory=memory.model_copy(update={"suspect": None, "attempt": attempt}))


def _cheapest_untried(verdict: Verdict, taken: tuple[Rung, ...]) -> Rung:
    """None that cannot cure what is seen, and none that was in vain already; only the agent is restarted again."""
    able = RUNGS[RUNGS.index(FIRST_RUNG[verdict]) : RUNGS.index(Rung.RESTART_AGENT)]
    return next((rung for rung in able if rung not in taken), Rung.RESTART_AGENT)


def _nothing(memory: Memory) -> Decision:
    return Decision(rung=None, cause="", memory=memory)
