"""The ladder of recovery: a pure function from an observation and what is remembered to the next rung.

The watchdog must never be the outage. So: two agreeing observations come before a rung; what comes up in its time,
waits for a person, or is being worked on is left alone; a rung proves itself by new evidence, and once its time and
that of coming up are over, the next follows; and where restarts, whoever made them, are too many, or the same fault
came back too often, a person is called instead. So whatever is not cured ends in a hold.
"""

from typing import Any

from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.health import PAGE_SILENT, SITE_SILENT, SUPERVISOR_SILENT, Verdict, says_nothing_for_ever
from whatsapp_contract.states import SessionState

from . import budget
from .memory import RUNGS, Attempt, Cured, Decision, Limits, Memory, Observation, Row, Rung

HOLDS, CONFLICT_LEFT, ENDS_OFTEN = "recovery_holds", "conflict_left", "agent_ends_often"

# Where to begin: a cheaper rung cannot cure this, so it is not tried.
FIRST_RUNG = {
    Verdict.DISCONNECTED: Rung.RESET,
    Verdict.DEAF: Rung.RELOAD,
    Verdict.PAGE_HUNG: Rung.RELOAD,
    Verdict.BROWSER_GONE: Rung.RESTART_BROWSER,
    Verdict.AGENT_HUNG: Rung.RESTART_AGENT,
    Verdict.AGENT_GONE: Rung.RESTART_AGENT,
}
# The page did not answer. It does where a state is past its deadline.
_SILENT = frozenset({PageTimeout.code, PAGE_SILENT})
# What is over only when the server was heard anew.
_OF_THE_LINK = frozenset({Verdict.DISCONNECTED, Verdict.DEAF, Verdict.WAITING_FOR_PERSON})
# Neither well nor a person's: the agent itself goes on when the time is over.
_BUDGET_SPENT = "start_budget_spent"


def decide(memory: Memory, seen: Observation, limits: Limits) -> Decision:
    """What to do about an observation. Pure."""
    seen = _without_end(seen, limits)
    memory = _told_apart(budget.looked(memory, seen, limits), seen, limits)
    return _with_word(_decided(memory, _at_its_end(memory, seen, limits), limits), seen, limits)


def _decided(memory: Memory, seen: Observation, limits: Limits) -> Decision:
    attempt = memory.attempt
    if _is_left_alone(seen):
        return _left_alone(memory, seen, limits)
    if is_conflict(seen):
        return _in_conflict(memory, seen, limits)
    if seen.verdict not in FIRST_RUNG:
        return _nothing(_well(memory, seen) if _proves(memory, seen, limits) else _with(memory, suspect=None))
    memory = _with(memory, trouble=memory.trouble or seen)
    if attempt is not None and attempt.rung is Rung.HOLD:
        return _nothing(memory)
    if attempt is not None and _has_time(attempt, seen):
        return _nothing(_with(memory, suspect=seen))
    if attempt is not None and not _is_lesser_fault(attempt, seen):
        return _take(seen, memory, limits)
    if not _agreed(memory, seen, limits):
        return _nothing(_with(memory, suspect=seen))
    return _take(seen, memory, limits)


def escalate(memory: Memory, failed: Rung, seen: Observation, limits: Limits) -> Decision:
    """The rung after one that failed in a session that was well until then, at once, where the link is what is seen to
    be bad.

    Else it is an observation like any other; so it is where a rung is under way, or everything is left alone.
    """
    if memory.attempt is not None or seen.verdict is not Verdict.DISCONNECTED or _is_left_alone(seen):
        return decide(memory, seen, limits)
    memory = budget.looked(memory, seen, limits)
    attempt = Attempt(rung=failed, at=seen.at, verdict=seen.verdict, lasts_s=0.0, done_at=seen.at, taken=(failed,))
    return _take(seen, _with(memory, attempt=attempt, trouble=seen, watched_at=seen.at), limits)


def note_done(memory: Memory, at: float, *, failed: bool) -> Memory:
    """The rung under way was carried out; or it could not be, and the next bad observation leads to the next one."""
    if memory.attempt is None:
        return memory
    done = memory.attempt.model_copy(update={"done_at": at, "failed": failed})
    return _with(memory, attempt=done, watched_at=at)


def note_undone(memory: Memory, at: float) -> Memory:
    """The rung under way could not even be begun, for nobody was there to do it: it uses nothing up, and is tried
    again as long as it is needed."""
    attempt = memory.attempt
    if attempt is None:
        return memory
    undone = attempt.model_copy(update={"done_at": at, "failed": True, "taken": attempt.taken[:-1]})
    return _with(budget.undone(memory, attempt.rung), attempt=undone, watched_at=at)


def note_person(memory: Memory, times: int = 1) -> Memory:
    """A person has restarted the agent, so many times: whatever was held, or spent, is tried again, from the start."""
    return _with(budget.forgiven(memory, times), suspect=None, row=None, attempt=None, conflict_left=False)


def is_conflict(seen: Observation) -> bool:
    """Whether another client has the session, which a takeover would bring back."""
    return seen.verdict is Verdict.WAITING_FOR_PERSON and seen.reason.endswith(SessionState.CONFLICT.value)


def is_bad(seen: Observation) -> bool:
    """Whether it is a fault, be it one that no rung is taken for."""
    return seen.operation is None and seen.verdict in FIRST_RUNG


def _without_end(seen: Observation, limits: Limits) -> Observation:
    """What is seen; or, where an operation outlives all of its own deadlines, an agent that is hung: it refuses every
    other, and its page is looked at by nobody."""
    if seen.operation is None or seen.operation_s is None or seen.operation_s < limits.operation_s:
        return seen
    fault = {"verdict": Verdict.AGENT_HUNG, "reason": f"{seen.operation}_never_ends", "operation": None}
    return seen.model_copy(update={**fault, "bad_since": seen.at - seen.operation_s})


# -- what was remembered, in the light of what is seen ---------------------------------------------------------------


def _told_apart(memory: Memory, seen: Observation, limits: Limits) -> Memory:
    """Without what this observation cannot be a sequel of.

    After a gap (this machine slept, or nobody looked) nothing is: what was suspected, or tried, was long ago. A hold
    ends by its time, by a clock that was set back (or it would last for as long as that was), and when somebody has
    restarted the agent; but not by every crash of an agent that crashes again and again.
    """
    attempt, watched_at = memory.attempt, memory.watched_at
    steady = watched_at is not None and 0 <= seen.at - watched_at <= limits.agree_within_s
    changes: dict[str, Any] = {"watched_at": seen.at, "steady": steady}
    if attempt is not None and attempt.rung is Rung.HOLD:
        is_other = _is_another_agent(attempt, seen) and not attempt.only_by_time
        if not _has_time(attempt, seen):
            changes |= {"attempt": None, "cured": (), "holds": (*memory.holds, seen.at)}
        elif is_other:
            changes |= {"attempt": None, "cured": ()}
    elif attempt is not None:
        worked_until = attempt.at + attempt.lasts_s if attempt.done_at is None else attempt.done_at
        if seen.at - max(worked_until, watched_at or 0.0) > limits.agree_within_s:
            changes |= {"attempt": None, "suspect": None}
    if not steady:
        changes["suspect"] = None
        if memory.incident is None:
            changes["trouble"] = None
    changes["row"] = _row(memory.row if steady else None, seen)
    return _with(memory, **changes)


def _row(row: Row | None, seen: Observation) -> Row | None:
    """With this observation; None where it is a good one, or is left alone."""
    is_fault = seen.verdict in FIRST_RUNG and not _is_left_alone(seen)
    if not is_fault and not _is_unclear(seen):
        return None
    row = row or Row(since=seen.at)
    if not is_fault or (row.mildest is not None and not _is_milder(seen.verdict, row.mildest.verdict)):
        return row
    return row.model_copy(update={"mildest": seen})


def _at_its_end(memory: Memory, seen: Observation, limits: Limits) -> Observation:
    """What is seen; or, where none was good for too long, the mildest fault of these: whatever else is seen may come
    of it. Where nothing could be said in all of them the agent is of no use. While supervisord does not answer no rung
    could reach it."""
    row = memory.row
    if row is None or not _is_for_too_long(row, seen, limits) or seen.reason == SUPERVISOR_SILENT:
        return seen
    fault: dict[str, Any] = {"verdict": Verdict.AGENT_HUNG}
    if row.mildest is not None:
        fault = {"verdict": row.mildest.verdict, "reason": row.mildest.reason}
    return seen.model_copy(update={**fault, "bad_since": row.since})


def _is_for_too_long(row: Row | None, seen: Observation, limits: Limits) -> bool:
    return row is not None and seen.at - row.since >= limits.unclear_s


def _is_unclear(seen: Observation) -> bool:
    """It says nothing, and has no end of its own."""
    return seen.verdict is Verdict.DEGRADED and seen.operation is None and says_nothing_for_ever(seen.reason)


def _is_another_agent(attempt: Attempt, seen: Observation) -> bool:
    epochs = attempt.agent_life, seen.agent_life
    return None not in epochs and epochs[0] != epochs[1]


def _is_left_alone(seen: Observation) -> bool:
    return seen.operation is not None or _says_nothing(seen)


def _says_nothing(seen: Observation) -> bool:
    """Coming up; waiting for its own time; or there is nothing that any rung could reach."""
    if seen.verdict is Verdict.DISCONNECTED:
        return seen.reason == SITE_SILENT
    return seen.verdict is Verdict.DEGRADED or seen.reason == _BUDGET_SPENT


def _left_alone(memory: Memory, seen: Observation, limits: Limits) -> Decision:
    """Neither good nor bad. A rung under way may be just what it comes up from.

    While the site cannot be reached a rung's time does not pass: it could not have worked.
    """
    attempt = memory.attempt
    if seen.operation is not None or (attempt is not None and attempt.rung is Rung.HOLD):
        return _nothing(_with(memory, suspect=None))
    if seen.verdict is Verdict.DISCONNECTED:
        attempt = attempt and attempt.model_copy(update={"at": seen.at, "done_at": seen.at, "failed": False})
        memory = _with(memory, trouble=memory.trouble or seen)
    elif seen.verdict is Verdict.DEGRADED and budget.starts_again_and_again(memory, limits):
        return _hold(seen, memory, limits)
    return _nothing(_with(memory, suspect=None, attempt=attempt))


def _well(memory: Memory, seen: Observation) -> Memory:
    """It is over: cured, or a person's now."""
    attempt = memory.attempt
    is_kept = attempt is not None and attempt.only_by_time and seen.verdict is not Verdict.HEALTHY
    changes: dict[str, Any] = {"suspect": None, "attempt": attempt if is_kept else None, "trouble": None}
    if seen.verdict is Verdict.HEALTHY:
        changes |= {"conflict_left": False, "silence_told": False}
        if attempt is not None and attempt.rung is not Rung.HOLD and attempt.verdict in FIRST_RUNG:
            changes["cured"] = (*memory.cured, Cured(first=FIRST_RUNG[attempt.verdict], at=seen.at))
    return _with(memory, **changes)


# -- judging ---------------------------------------------------------------------------------------------------------


def _proves(memory: Memory, seen: Observation, limits: Limits) -> bool:
    """Whether what is good now was seen after the rung was taken, or, without one, after the fault was found: a good
    word about old facts proves nothing."""
    attempt = memory.attempt
    fault = attempt or memory.trouble
    if seen.verdict is not Verdict.HEALTHY or fault is None or (attempt is not None and attempt.rung is Rung.HOLD):
        return True
    if seen.at - fault.at > (attempt.lasts_s if attempt else 0.0) + limits.healthy_anyway_s:
        return True
    evidence = [seen.page_seen, seen.frame_seen if fault.verdict in _OF_THE_LINK else None]
    return all(moment > fault.at for moment in evidence if moment is not None)


def _is_lesser_fault(attempt: Attempt, seen: Observation) -> bool:
    """Whether the rung seems to have worked, and this is a new fault, to be agreed on."""
    return _is_milder(seen.verdict, attempt.verdict)


def _has_time(attempt: Attempt, seen: Observation) -> bool:
    """Whether a rung is still within its time; a clock that was set back ends it."""
    return not attempt.failed and 0 <= seen.at - attempt.at < attempt.lasts_s


def _agreed(memory: Memory, seen: Observation, limits: Limits) -> bool:
    """Two observations, of which the agent's own may be the first where somebody was looking all the while. One will
    do where none was good for so long: a fault that looks different each time is a fault, too."""
    if memory.steady and seen.stood_s is not None and seen.stood_s >= limits.stood_for_s:
        return True
    if _is_for_too_long(memory.row, seen, limits):
        return True
    suspect = memory.suspect
    if suspect is None or is_conflict(suspect) != is_conflict(seen):
        return False
    if {seen.reason, suspect.reason} <= _SILENT and (seen.page_seen or 0.0) > suspect.at:
        return False  # slow, and not hung: the page answered somebody between the two
    return _cheapest(suspect.verdict) is _cheapest(seen.verdict) and suspect.at < seen.at


# -- acting ----------------------------------------------------------------------------------------------------------


def _take(seen: Observation, memory: Memory, limits: Limits) -> Decision:
    taken = memory.attempt.taken if memory.attempt else ()
    rung = _cheapest_untried(budget.first_rung(_cheapest(seen.verdict), memory, seen, limits), taken)
    if rung is Rung.HOLD or not budget.allows(rung, taken, memory, seen, limits):
        return _hold(seen, memory, limits)
    return _taken(rung, seen, budget.took(memory, rung, seen.at), limits)


def _in_conflict(memory: Memory, seen: Observation, limits: Limits) -> Decision:
    """The session is taken over a few times; whoever takes it back each time is left to a person. No restart helps."""
    attempt = memory.attempt
    if attempt is not None and attempt.only_by_time:
        return _nothing(_with(memory, suspect=None))
    if attempt is not None and attempt.rung is not Rung.HOLD and _has_time(attempt, seen):
        return _nothing(_with(memory, suspect=seen))
    memory = _with(memory, attempt=None)
    if memory.conflict_left:
        return _nothing(_with(memory, suspect=None, trouble=None))
    if not _agreed(memory, seen, limits):
        return _nothing(_with(memory, suspect=seen, trouble=memory.trouble or seen))
    if len(memory.takeovers) >= limits.most_takeovers:
        memory = _with(memory, suspect=None, trouble=None, conflict_left=True)
        return Decision(rung=None, cause=cause_of(seen), memory=memory, alert=CONFLICT_LEFT)
    return _taken(Rung.RESET, seen, _with(memory, takeovers=(*memory.takeovers, seen.at)), limits)


def _hold(seen: Observation, memory: Memory, limits: Limits) -> Decision:
    """Leave everything alone for a while, the longer the more often. A person is told once in that time."""
    lasts_s = budget.hold_length(memory, limits)
    told_at = memory.held_told_at
    is_told = told_at is not None and 0 <= seen.at - told_at < limits.hold_s
    is_crashing = budget.starts_again_and_again(memory, limits)
    memory = _with(memory, held_told_at=told_at if is_told else seen.at)
    decision = _taken(Rung.HOLD, seen, memory, limits, lasts_s=lasts_s, only_by_time=is_crashing)
    return decision.model_copy(update={"alert": None if is_told else HOLDS})


def _with_word(decision: Decision, seen: Observation, limits: Limits) -> Decision:
    """With what a person must know though it leads to no rung; each once."""
    memory = decision.memory
    ends_often = budget.ends_often(memory, limits)
    memory = _with(memory, ends_told=memory.ends_told and ends_often)
    decision = decision.model_copy(update={"memory": memory})
    if decision.alert is not None:
        return decision
    if ends_often and not memory.ends_told:
        return decision.model_copy(update={"alert": ENDS_OFTEN, "memory": _with(memory, ends_told=True)})
    is_silent = seen.reason == SUPERVISOR_SILENT and memory.row is not None and memory.row.since < seen.at
    if is_silent and not memory.silence_told:
        return decision.model_copy(update={"alert": SUPERVISOR_SILENT, "memory": _with(memory, silence_told=True)})
    return decision


def _taken(
    rung: Rung,
    seen: Observation,
    memory: Memory,
    limits: Limits,
    *,
    lasts_s: float | None = None,
    only_by_time: bool = False,
) -> Decision:
    attempt = Attempt(
        rung=rung,
        at=seen.at,
        verdict=seen.verdict,
        lasts_s=limits.deadlines_s[rung] if lasts_s is None else lasts_s,
        agent_life=seen.agent_life,
        only_by_time=only_by_time,
        taken=(*(memory.attempt.taken if memory.attempt else ()), rung),
    )
    memory = _with(memory, suspect=None, row=None, trouble=memory.trouble or seen, attempt=attempt)
    return Decision(rung=rung, cause=cause_of(seen), memory=memory)


def cause_of(seen: Observation) -> str:
    """The verdict and the fact that decided it."""
    return f"{seen.verdict}: {seen.reason}"


def _cheapest(verdict: Verdict) -> Rung:
    return FIRST_RUNG.get(verdict, Rung.RESET)


def _is_milder(one: Verdict, other: Verdict) -> bool:
    return RUNGS.index(_cheapest(one)) < RUNGS.index(_cheapest(other))


def _cheapest_untried(first: Rung, taken: tuple[Rung, ...]) -> Rung:
    """None that cannot cure what is seen, and none that was in vain already; only the agent is restarted again."""
    if first is Rung.HOLD:
        return first
    able = RUNGS[RUNGS.index(first) : RUNGS.index(Rung.RESTART_AGENT)]
    return next((rung for rung in able if rung not in taken), Rung.RESTART_AGENT)


def _with(memory: Memory, **changes: Any) -> Memory:
    return memory.model_copy(update=changes)


def _nothing(memory: Memory) -> Decision:
    return Decision(rung=None, cause="", memory=memory)
