"""One look at the agent from outside: its own facts, what only an outsider sees, and the verdict over both."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError

from whatsapp_contract.client import AgentClient
from whatsapp_contract.errors import AgentUnreachable, ContractError, NoReply
from whatsapp_contract.health import Assessment, Facts, Limits, Outside, Verdict, verdict
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.states import SessionState

from .memory import Observation
from .process_control import ProcessControl, SupervisorUnavailable

log = get_logger(__name__)

AGENT = "browser-agent"
CHECK_REPLY_WITHIN_S = 5.0
# A look that took longer than this, all its deadlines included, was interrupted: this process was stopped meanwhile.
LOOK_WITHIN_S = 15.0
FACTS_AGE_AT_MOST_S = 10.0


class Observer:
    """`clock` gives seconds that nobody steps; `limits` is how old facts may be."""

    def __init__(
        self,
        client: AgentClient,
        names: InstanceNames,
        control: ProcessControl,
        limits: Limits,
        clock: Callable[[], float],
        starts_window_s: float,
    ) -> None:
        self._client = client
        self._names = names
        self._control = control
        self._limits = limits
        self._clock = clock
        self._starts_window_s = starts_window_s
        self._supervisor_answers = True  # as last seen

    def look(self) -> Observation | None:
        """What the agent looks like from here; None where this process was stopped meanwhile: nothing can be said."""
        at, asked_at = self._clock(), datetime.now(UTC)
        facts, outside, operating = self._ask(asked_at)
        gathered_at = self._clock() - _age_s(facts)
        agent_life, browser_starts = self._starts()
        if (took_s := self._clock() - at) > LOOK_WITHIN_S:
            log.warning("a check was interrupted and tells nothing", took_s=round(took_s, 1))
            return None
        # Judged at the time at which they were gathered: a clock stepped since then has not aged them.
        assessment = verdict(facts.model_copy(update={"outside": outside}), self._limits, facts.observed_at)
        seen = _observation(assessment, facts, at, gathered_at)
        answered = outside.reply_took_ms is not None and outside.error is None
        return seen.model_copy(
            update={
                **operating,
                "agent_life": agent_life,
                "browser_starts": browser_starts,
                "bad_since": seen.bad_since if answered else None,
                "took_ms": outside.reply_took_ms,
                "memory_bytes": facts.memory_bytes if answered else None,
            }
        )

    def _ask(self, asked_at: datetime) -> tuple[Facts, Outside, dict[str, Any]]:
        """The agent's facts, from its reply, else as it last wrote them; what was seen from here; its operation."""
        outside = Outside(asked_at=asked_at)
        started = time.monotonic()
        try:
            answered = self._client.check(reply_within_s=CHECK_REPLY_WITHIN_S)
        except AgentUnreachable:
            return self._facts_left(asked_at), self._with_program(outside, listeners=0), {}
        except NoReply as error:
            return self._facts_left(asked_at), self._with_program(outside, listeners=error.listeners), {}
        except ContractError as error:
            took_ms = _ms_since(started)
            seen = outside.model_copy(update={"error": error.code, "reply_took_ms": took_ms})
            return self._facts_left(asked_at), seen, {}
        seen = outside.model_copy(update={"reply_took_ms": _ms_since(started)})
        return answered.facts, seen, {"operation": answered.operation, "operation_s": answered.operation_s}

    def _facts_left(self, asked_at: datetime) -> Facts:
        """As of its last heartbeat; bare ones where there are none. They are of little weight: it did not answer."""
        try:
            status = self._client.status()
        except ValueError as error:
            log.warning("the status cannot be read", error=str(error)[:200])
            status = None
        if status is not None:
            return status.facts
        return Facts(observed_at=asked_at, state=SessionState.STARTING, since=asked_at)

    def _with_program(self, outside: Outside, **more: Any) -> Outside:
        """With what Redis and supervisord say, where it matters: a frozen supervisord costs its deadline."""
        owed = bool(self._client.redis.exists(self._names.start_owed))
        seen = {"redis_up_s": self._redis_up_s(), "start_owed": owed, **more}
        try:
            state = self._control.state(AGENT)
            seen |= {"program": state.name, "program_running_s": state.running_s}
            self._supervisor_answers = True
        except SupervisorUnavailable as error:
            if self._supervisor_answers:
                log.error("supervisor does not answer", error=str(error))
            self._supervisor_answers = False
        return outside.model_copy(update=seen)

    def _redis_up_s(self) -> float | None:
        """None where Redis does not say, as one that is rented may refuse to."""
        try:
            server: Any = self._client.redis.info("server")
            return float(server["uptime_in_seconds"])
        except (ResponseError, LookupError, TypeError, ValueError) as error:
            log.debug("Redis does not say how long it is up", error=str(error))
            return None

    def _starts(self) -> tuple[int | None, int]:
        """How many agents have started, and how many browsers lately, whoever started them."""
        now = time.time()
        with self._client.redis.pipeline(transaction=False) as asking:
            asking.hget(self._client.names.fence, "lives")
            asking.zcount(self._names.starts, now - self._starts_window_s, now)
            lives, browser_starts = asking.execute()
        return int(lives) if lives else None, int(browser_starts)


def _observation(assessment: Assessment, facts: Facts, at: float, gathered_at: float) -> Observation:
    """`gathered_at` is the facts' `observed_at` by this process's clock, as closely as it is known."""

    def moment(seen: datetime | None) -> float | None:
        return None if seen is None else gathered_at - (facts.observed_at - seen).total_seconds()

    in_state_s = (facts.observed_at - facts.since).total_seconds()
    # Only the link is watched by the agent itself between two checks; then `since` is when it left READY.
    dated = assessment.verdict is Verdict.DISCONNECTED and facts.state is SessionState.DISCONNECTED
    is_ready = assessment.verdict is Verdict.HEALTHY and facts.state is SessionState.READY
    heard = [seen for seen in (facts.frame_seen_at, facts.link_answered_at) if seen is not None]
    return Observation(
        verdict=assessment.verdict,
        reason=assessment.reason,
        at=at,
        stood_s=in_state_s if dated else None,
        bad_since=moment(assessment.since),
        page_seen=moment(facts.page_seen_at),
        frame_seen=moment(max(heard, default=None)),
        ready_since=moment(facts.since) if is_ready else None,
    )


def _age_s(facts: Facts) -> float:
    """How long ago they were gathered: seconds, where they are of the last heartbeat. By the wall clock, and so within
    bounds: it may have been stepped since."""
    return min(max((datetime.now(UTC) - facts.observed_at).total_seconds(), 0.0), FACTS_AGE_AT_MOST_S)


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
