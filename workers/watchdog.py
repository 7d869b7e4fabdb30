"""The watchdog: observes the agent from outside, asks the ladder, and carries out its rung."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis

from whatsapp_contract.client import AgentClient
from whatsapp_contract.errors import (
    AgentUnreachable,
    BrowserGone,
    ContractError,
    NoReply,
    NotReady,
    PageCrashed,
    PageTimeout,
    ResetUnproven,
)
from whatsapp_contract.event_script import PUBLISH_LUA, epoch_arg, event_args, publish_keys
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.health import Verdict
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.results import CheckResult
from whatsapp_contract.settings import Settings
from whatsapp_contract.states import SessionState

from . import recovery
from .process_control import ProcessControl, SupervisorUnavailable
from .recovery import Decision, Limits, Memory, Observation, Rung

log = get_logger(__name__)

AGENT = "browser-agent"
CHECK_REPLY_WITHIN_S = 5.0
START_GRACE_S = 20.0  # an agent that young may not be listening yet
REDIS_SETTLED_S = 10.0  # a Redis that young has lost its subscribers; they come back by themselves
LOCK_S = 20.0  # how long a killed worker's check can hold up the next ones
MEMORY_KEPT_S = 86_400

_VERDICT_OF_ERROR: dict[type[ContractError], Verdict] = {
    PageTimeout: Verdict.PAGE_HUNG,
    PageCrashed: Verdict.PAGE_HUNG,
    BrowserGone: Verdict.BROWSER_GONE,
    NoReply: Verdict.AGENT_HUNG,
}

# Failures of which the agent's own `reset` event tells (`proven` false).
_TOLD_BY_AGENT: dict[Rung, tuple[type[ContractError], ...]] = {
    Rung.RESET: (ResetUnproven,),
    Rung.RELOAD: (PageTimeout, PageCrashed, BrowserGone, NotReady),
}


class Watchdog:
    """One per worker process; what it remembers is in Redis, so that it survives the worker."""

    def __init__(
        self,
        client: AgentClient,
        names: InstanceNames,
        control: ProcessControl,
        limits: Limits,
        *,
        start_grace_s: float = START_GRACE_S,
        redis_settled_s: float = REDIS_SETTLED_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._redis = client.redis
        self._names = names
        self._control = control
        self._limits = limits
        self._start_grace_s = start_grace_s
        self._redis_settled_s = redis_settled_s
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings) -> "Watchdog":
        client = AgentClient(connect(settings.redis_url.get_secret_value()), settings.session_id)
        control = ProcessControl(settings.run_dir / "supervisor.sock")
        return cls(client, settings.instance_names, control, Limits())

    def check(self) -> None:
        """One observation, and the rung it leads to. An outage of Redis is not the agent's fault: nothing is done."""
        try:
            with self._one_at_a_time() as lock:
                if lock is None:
                    return
                seen = self._observe()
                if seen is None:
                    return
                decision = recovery.decide(self._remembered(), seen, self._limits)
                self._remember(decision.memory)
                self._carry_out(decision, seen, lock)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("no check: Redis is away", error=str(error))

    def scheduled_reset(self) -> None:
        """A new connection to WhatsApp, by the clock. Only while ready; an unproven one escalates at once."""
        try:
            if self._client.check().verdict is not Verdict.HEALTHY:
                log.info("no scheduled reset: the session is not ready")
                return
            self._client.call("reset", {"cause": "scheduled"})
        except ResetUnproven as error:
            log.warning("the scheduled reset is unproven", error=str(error))
            self._escalate_reset()
        except NotReady:
            log.info("no scheduled reset: the session is not ready")
        except ContractError as error:
            log.warning("no scheduled reset", code=error.code, error=str(error))
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("no scheduled reset: Redis is away", error=str(error))

    def restart_agent(self, cause: str) -> None:
        """Stop and start the agent, or kill it where it does not answer. Raises SupervisorUnavailable."""
        try:
            self._client.ping(reply_within_s=CHECK_REPLY_WITHIN_S)
            frozen = False
        except (NoReply, AgentUnreachable):
            frozen = True
        self._restart_through_supervisor(cause, frozen=frozen)

    # -- observing ---------------------------------------------------------------------------------------------------

    def _observe(self) -> Observation | None:
        """What the agent looks like from here; None where nothing can be said."""
        at, epoch = self._clock(), self._agent_epoch()
        try:
            return _from_check(self._client.check(reply_within_s=CHECK_REPLY_WITHIN_S), at, epoch)
        except AgentUnreachable:
            if not self._should_listen():
                return None
            return Observation(verdict=Verdict.AGENT_GONE, reason="nobody_listens", at=at, agent_epoch=epoch)
        except (PageTimeout, PageCrashed, BrowserGone, NoReply) as error:
            return Observation(
                verdict=_VERDICT_OF_ERROR[type(error)], reason=error.code, at=self._clock(), agent_epoch=epoch
            )
        except ContractError as error:
            log.error("a check failed", code=error.code, error=str(error))
            return None

    def _should_listen(self) -> bool:
        """Whether it counts that nobody listens: Redis has settled, and the agent has been running for long enough."""
        server: Any = self._redis.info("server")
        if server["uptime_in_seconds"] < self._redis_settled_s:
            return False
        try:
            state = self._control.state(AGENT)
        except SupervisorUnavailable as error:
            log.error("supervisor does not answer", error=str(error))
            return False
        return state.name == "RUNNING" and state.running_s >= self._start_grace_s

    def _agent_epoch(self) -> int | None:
        epoch: Any = self._redis.hget(self._client.names.fence, "epoch")
        return int(epoch) if epoch else None

    # -- acting ------------------------------------------------------------------------------------------------------

    def _carry_out(self, decision: Decision, seen: Observation, lock: Any) -> None:
        rung = decision.rung
        if rung is None:
            return
        log.warning("taking a rung", rung=rung.value, cause=decision.cause)
        if rung is Rung.HOLD:
            self._alert("recovery_holds", self._hold_message(decision.cause))
            return
        lock.extend(self._limits.deadlines_s[rung], replace_ttl=True)
        try:
            if rung is Rung.RESTART_AGENT:
                frozen = seen.verdict in (Verdict.AGENT_HUNG, Verdict.AGENT_GONE)
                self._restart_through_supervisor(decision.cause, frozen=frozen)
            else:
                self._client.call(rung.value, {"cause": decision.cause[:200]})
        except (ContractError, SupervisorUnavailable) as error:
            log.warning("a rung failed", rung=rung.value, error=str(error))
            self._remember(recovery.note_failure(self._remembered()))
            if not isinstance(error, _TOLD_BY_AGENT.get(rung, ())):
                self._alert("rung_failed", f"{rung.value} ({decision.cause}) could not be carried out: {error}")

    def _escalate_reset(self) -> None:
        seen = Observation(
            verdict=Verdict.DISCONNECTED, reason="reset_unproven", at=self._clock(), agent_epoch=self._agent_epoch()
        )
        with self._one_at_a_time(wait_s=LOCK_S) as lock:
            if lock is None:
                return
            decision = recovery.escalate(self._remembered(), Rung.RESET, seen, self._limits)
            self._remember(decision.memory)
            self._carry_out(decision, seen, lock)

    def _restart_through_supervisor(self, cause: str, *, frozen: bool) -> None:
        """One restart at a time, whoever asks. The agent that comes up tells the cause; a later one must not."""
        if not self._redis.set(self._names.restart_lock, cause, nx=True, ex=30):
            raise SupervisorUnavailable("another restart is under way")
        try:
            self._redis.set(self._names.restart_cause, cause, ex=120)
            if frozen:
                self._control.kill(AGENT)
            else:
                self._control.restart(AGENT)
        except SupervisorUnavailable:
            self._redis.delete(self._names.restart_cause)
            raise
        finally:
            self._redis.delete(self._names.restart_lock)

    def _hold_message(self, cause: str) -> str:
        return (
            f"The agent was restarted {self._limits.most_agent_restarts} times and is still not well ({cause}). "
            f"It is left alone for {self._limits.deadlines_s[Rung.HOLD]:g} s, or until somebody restarts it."
        )

    def _alert(self, code: str, message: str) -> None:
        log.error("a person should look", code=code, message=message)
        now = datetime.now(UTC)
        names = self._client.names
        data = AlertData(code=code, message=message)
        args = event_args(names.session_id, EventType.ALERT.value, data, number=None, occurred_at=now, observed_at=now)
        keys = publish_keys(names)
        self._redis.eval(PUBLISH_LUA, len(keys), *keys, epoch_arg(None), *args)

    # -- memory ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _one_at_a_time(self, wait_s: float = 0.0) -> Iterator[Any]:
        """The lock of checks and rungs, or None where another worker has it."""
        lock = self._redis.lock(self._names.ladder_lock, timeout=LOCK_S)
        if not lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s or None):
            yield None
            return
        try:
            yield lock
        finally:
            try:
                lock.release()
            except redis.exceptions.LockError:
                log.warning("a check outlived its lock")

    def _remembered(self) -> Memory:
        kept: Any = self._redis.get(self._names.ladder)
        return Memory.model_validate_json(kept) if kept else Memory()

    def _remember(self, memory: Memory) -> None:
        self._redis.set(self._names.ladder, memory.model_dump_json(), ex=MEMORY_KEPT_S)


def _from_check(result: CheckResult, at: float, agent_epoch: int | None) -> Observation:
    facts = result.facts
    # Only the link is watched by the agent itself between two checks; then `since` is when it left READY.
    dated = result.verdict is Verdict.DISCONNECTED and facts.state is SessionState.DISCONNECTED
    return Observation(
        verdict=result.verdict,
        reason=result.reason,
        at=at,
        standing_since=facts.since.timestamp() if dated else None,
        operation=result.operation,
        agent_epoch=agent_epoch,
    )
