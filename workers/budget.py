"""How often is too often: restarts over every cause of one, and the same fault again and again. Pure."""

from .memory import RESTARTS, RUNGS, Limits, Memory, Observation, Rung

_COUNTED_AT_ONCE = 10
_HOLDS_REMEMBERED_S = 86_400.0


def looked(memory: Memory, seen: Observation, limits: Limits) -> Memory:
    """What is too old is forgotten, and the agent's starts since the last look are counted by its epoch.

    An epoch that fell says that Redis lost its memory, nothing else.
    """
    changes: dict[str, object] = {
        "agent_starts": _lately(memory.agent_starts, seen.at, limits.starts_window_s),
        "restarts": _lately(memory.restarts, seen.at, limits.restarts_window_s),
        "takeovers": _lately(memory.takeovers, seen.at, limits.long_window_s),
        "holds": _lately(memory.holds, seen.at, _HOLDS_REMEMBERED_S),
        "cured": tuple(one for one in memory.cured if 0 <= seen.at - one.at < limits.long_window_s),
    }
    if seen.agent_epoch is not None and seen.agent_epoch != memory.agent_epoch:
        changes |= {"agent_epoch": seen.agent_epoch, "own_restarts": 0}
        if memory.agent_epoch is not None and seen.agent_epoch > memory.agent_epoch:
            others = max(0, seen.agent_epoch - memory.agent_epoch - memory.own_restarts)
            memory = memory.model_copy(update=changes)
            return _counted(memory, seen.at, agent=True, times=min(others, _COUNTED_AT_ONCE))
    return memory.model_copy(update=changes)


def took(memory: Memory, rung: Rung, at: float) -> Memory:
    """The ladder restarts something itself."""
    if rung not in RESTARTS:
        return memory
    is_agent = rung is Rung.RESTART_AGENT
    memory = _counted(memory, at, agent=is_agent, times=1)
    return memory.model_copy(update={"own_restarts": memory.own_restarts + is_agent})


def undone(memory: Memory, rung: Rung) -> Memory:
    """The ladder could not restart it after all."""
    if rung not in RESTARTS:
        return memory
    changes: dict[str, object] = {"restarts": memory.restarts[:-1]}
    if rung is Rung.RESTART_AGENT:
        changes |= {"agent_starts": memory.agent_starts[:-1], "own_restarts": max(0, memory.own_restarts - 1)}
    return memory.model_copy(update=changes)


def allows(rung: Rung, taken: tuple[Rung, ...], memory: Memory, seen: Observation, limits: Limits) -> bool:
    """Whether there is still a restart to be had."""
    if rung not in RESTARTS:
        return True
    if rung is Rung.RESTART_AGENT and taken.count(rung) >= limits.most_in_a_row:
        return False
    is_started_too_often = max(len(memory.agent_starts), seen.browser_starts) >= limits.most_starts
    return not is_started_too_often and len(memory.restarts) < limits.most_restarts


def starts_again_and_again(memory: Memory, limits: Limits) -> bool:
    """Whether the agent ends so often by itself that it never lives long enough to be found bad."""
    return len(memory.agent_starts) > limits.most_starts


def first_rung(cheapest: Rung, memory: Memory, limits: Limits) -> Rung:
    """Where to begin with a fault: one rung higher for every few times that it was cured and came back."""
    times = sum(one.first is cheapest for one in memory.cured)
    return RUNGS[min(RUNGS.index(cheapest) + times // limits.flaps, len(RUNGS) - 1)]


def hold_length(memory: Memory, limits: Limits) -> float:
    """Of the hold that begins now."""
    return float(min(limits.hold_s * 2 ** min(len(memory.holds), 20), limits.longest_hold_s))


def _counted(memory: Memory, at: float, *, agent: bool, times: int) -> Memory:
    changes = {"restarts": (*memory.restarts, *[at] * times)}
    if agent:
        changes["agent_starts"] = (*memory.agent_starts, *[at] * times)
    return memory.model_copy(update=changes)


def _lately(moments: tuple[float, ...], now: float, window_s: float) -> tuple[float, ...]:
    return tuple(moment for moment in moments if 0 <= now - moment < window_s)
