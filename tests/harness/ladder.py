"""The ladder, fed with observations."""

from whatsapp_contract.health import Verdict
from workers import recovery
from workers.memory import Limits, Memory, Observation, Rung
from workers.recovery import FIRST_RUNG

LIMITS = Limits()
BAD = sorted(FIRST_RUNG)
TICK_S = 10.0


def seen(verdict: Verdict, at: float, **more: object) -> Observation:
    return Observation.model_validate({"verdict": verdict, "reason": "test", "at": at} | more)


def feed(memory: Memory, *observations: Observation) -> tuple[list[Rung | None], Memory]:
    """The rungs that they lead to, and what is remembered then."""
    rungs: list[Rung | None] = []
    for observation in observations:
        decision = recovery.decide(memory, observation, LIMITS)
        rungs.append(decision.rung)
        memory = decision.memory
    return rungs, memory


def hold() -> tuple[Memory, float]:
    """What is remembered in a hold that has just begun, and the time."""
    memory, at, rungs = Memory(), 1000.0, []
    while Rung.HOLD not in rungs:
        more, memory = feed(memory, seen(Verdict.AGENT_HUNG, at, agent_life=7))
        rungs += more
        at += TICK_S
    assert rungs.count(Rung.RESTART_AGENT) == 3
    return memory, at


def reset_taken() -> Memory:
    """What is remembered after a reset, taken at 110."""
    _, memory = feed(Memory(), seen(Verdict.DISCONNECTED, 100), seen(Verdict.DISCONNECTED, 110))
    assert memory.attempt is not None
    return recovery.note_done(memory, 112, failed=False)
