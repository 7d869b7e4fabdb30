"""How often is too often: restarts over every cause of one, and the same fault again and again. Pure.

In the short window every start counts, supervisord's own included: a machine that starts one thing over and over is
helped by nobody. In the long one each answers for its own: the ladder's restarts are bounded, and supervisord's, which
nobody can keep from it, are told. A start that a person asked for counts as nobody's.
"""

from .memory import RESTARTS, RUNGS, Limits, Memory, Observation, Rung

_COUNTED_AT_ONCE = 10
_HOLDS_REMEMBERED_S = 86_400.0


def looked(memory: Memory, seen: Observation, limits: Limits) -> Memory:
    """What is too old is forgotten, and the agent's starts since the last look are counted by the number of its life.

    One that fell says that Redis lost its memory, nothing else. One that rose while nobody looked says nothing of now:
    the session may have been in another container for days.
    """
    watched_at = memory.watched_at
    is_lately = watched_at is not None and 0 <= seen.at - watched_at <= limits.agree_within_s
    changes: dict[str, object] = {
        "agent_starts": _lately(memory.agent_starts, seen.at, limits.starts_window_s),
        "restarts": _lately(memory.restarts, seen.at, limits.restarts_window_s),
        "others_starts": _lately(memory.others_starts, seen.at, limits.restarts_window_s),
        "browser_ends": (browser_ends := _lately(memory.browser_ends, seen.at, limits.restarts_window_s)),
        "browser_ends_told": memory.browser_ends_told and len(browser_ends) >= limits.most_restarts,
        "takeovers": _lately(memory.takeovers, seen.at, limits.long_window_s),
        "holds": _lately(memory.holds, seen.at, _HOLDS_REMEMBERED_S),
        "cured": tuple(one for one in memory.cured if 0 <= seen.at - one.at < limits.long_window_s),
    }
    if seen.agent_life is not None and seen.agent_life != memory.agent_life:
        changes |= {"agent_life": seen.agent_life, "own_restarts": 0}
        if is_lately and memory.agent_life is not None and seen.agent_life > memory.agent_life:
            others = max(0, seen.agent_life - memory.agent_life - memory.own_restarts)
            starts = (seen.at,) * min(others, _COUNTED_AT_ONCE)
            memory = memory.model_copy(update=changes)
            changes = {
                "agent_starts": memory.agent_starts + starts,
                "others_starts": memory.others_starts + starts,
            }
    return memory.model_copy(update=changes)


def took(memory: Memory, rung: Rung, at: float) -> Memory:
    """The ladder restarts something itself."""
    if rung not in RESTARTS:
        return memory
    changes: dict[str, object] = {"restarts": (*memory.restarts, at)}
    if rung is Rung.RESTART_AGENT:
        changes |= {"agent_starts": (*memory.agent_starts, at), "own_restarts": memory.own_restarts + 1}
    return memory.model_copy(update=changes)


def undone(memory: Memory, rung: Rung) -> Memory:
    """The ladder could not restart it after all."""
    if rung not in RESTARTS:
        return memory
    changes: dict[str, object] = {"restarts": memory.restarts[:-1]}
    if rung is Rung.RESTART_AGENT:
        changes |= {"agent_starts": memory.agent_starts[:-1], "own_restarts": max(0, memory.own_restarts - 1)}
    return memory.model_copy(update=changes)


def forgiven(memory: Memory, times: int = 1) -> Memory:
    """A person has restarted the agent: what was spent is forgotten, and those starts are not counted either."""
    return memory.model_copy(
        update={
            "own_restarts": memory.own_restarts + times,
            "agent_starts": (),
            "restarts": (),
            "others_starts": (),
            "cured": (),
            "holds": (),
            "held_told_at": None,
            "ends_told": False,
            "browser_ends": (),
            "browser_ends_told": False,
            "takeovers": (),
        }
    )


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


def ends_often(memory: Memory, limits: Limits) -> bool:
    """Whether supervisord brings the agent back again and again, though never fast enough to be left alone for it."""
    return len(memory.others_starts) >= limits.most_restarts


def browser_ended(memory: Memory, at: float) -> Memory:
    """The browser, or its page, ended by itself and was brought back by the agent."""
    return memory.model_copy(update={"browser_ends": (*memory.browser_ends, at)})


def is_news_of_browser_ends(memory: Memory, limits: Limits) -> bool:
    """Whether that was so again and again, though never fast enough for the start budget, and nobody was told."""
    return len(memory.browser_ends) >= limits.most_restarts and not memory.browser_ends_told


def first_rung(cheapest: Rung, memory: Memory, seen: Observation, limits: Limits) -> Rung:
    """Where to begin with a fault: one rung higher for every few times that it was cured and came back.

    No higher than what may cure its cause: a link that flaps needs no new browser, and a fault that is cured each time
    is never held. Where nothing higher is to be had any more, it is cured as ever.
    """
    times = sum(one.first is cheapest for one in memory.cured)
    highest = Rung.RELOAD if cheapest is Rung.RESET else Rung.RESTART_AGENT
    higher = RUNGS[min(RUNGS.index(cheapest) + times // limits.flaps, RUNGS.index(highest))]
    return higher if allows(higher, (), memory, seen, limits) else cheapest


def hold_length(memory: Memory, limits: Limits) -> float:
    """Of the hold that begins now: the longer, the more of them were in vain."""
    return float(min(limits.hold_s * 2 ** min(len(memory.holds), 20), limits.longest_hold_s))


def _lately(moments: tuple[float, ...], now: float, window_s: float) -> tuple[float, ...]:
    return tuple(moment for moment in moments if 0 <= now - moment < window_s)
