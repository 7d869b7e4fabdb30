"""The watchdog: observes the agent from outside, asks the ladder, and carries out its rung."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis

from whatsapp_contract import health
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
from whatsapp_contract.following import readable_event
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import Incident
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings

from . import incidents, recovery
from .clock import boot, machine_time
from .incidents import IncidentLog
from .memory import Decision, Limits, Memory, Observation, Rung
from .observing import CHECK_REPLY_WITHIN_S, Observer
from .process_control import ProcessControl, SupervisorUnavailable
from .restarting import Restarter

log = get_logger(__name__)

LOCK_S = 20.0  # how long a killed worker's check can hold up the next ones
MEMORY_KEPT_S = 7 * 86_400
EVENTS_LOOKED_THROUGH = 1000
SUPERVISOR_UNAVAILABLE = "supervisor_unavailable"

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
        health_limits: health.Limits | None = None,
        clock: Callable[[], float] = machine_time,
    ) -> None:
        self._client = client
        self._redis = client.redis
        self._names = names
        self._restarter = Restarter(client.redis, names, control)
        self._limits = limits
        self._clock = clock
        self._incidents = IncidentLog(client.redis, client.names)
        self._observer = Observer(
            client, names, control, health_limits or health.Limits(), clock, limits.starts_window_s
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> "Watchdog":
        client = AgentClient(connect(settings.redis_url.get_secret_value()), settings.session_id)
        control = ProcessControl(settings.run_dir / "supervisor.sock")
        limits = Limits(
            most_starts=settings.start_budget,
            starts_window_s=settings.start_budget_window_s,
            most_restarts=max(Limits().most_restarts, 2 * settings.start_budget),
            most_takeovers=settings.takeover_limit,
        )
        return cls(client, settings.instance_names, control, limits)

    def check(self) -> None:
        """One observation, and the rung it leads to. An outage of Redis is not the agent's fault: nothing is done."""
        try:
            with self._one_at_a_time() as lock:
                if lock is None:
                    return
                self._restarter.start_what_is_owed()
                seen = self._observer.look()
                if seen is None:
                    return
                before = self._remembered()
                self._follow_up(before, recovery.decide(before, seen, self._limits), seen, lock)
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
        """Stop and start the agent, or kill it where it does not answer. Raises SupervisorUnavailable.

        A person asked for it: a hold is over.
        """
        try:
            self._client.ping(reply_within_s=CHECK_REPLY_WITHIN_S)
            frozen = False
        except (NoReply, AgentUnreachable):
            frozen = True
        self._restarter.restart(cause, None, frozen=frozen)
        with self._one_at_a_time(wait_s=LOCK_S) as lock:
            if lock is not None:
                self._remember(recovery.note_person(self._remembered()))

    # -- following up ------------------------------------------------------------------------------------------------

    def _follow_up(self, before: Memory, decision: Decision, seen: Observation, lock: Any) -> None:
        """Remember before anything is done: a worker killed over a rung leaves word of it."""
        now = datetime.now(UTC)
        incident = incidents.opened(before, decision, seen, self._names.instance_id, now)
        memory = decision.memory
        if incident is not None and incident != before.incident:
            self._incidents.keep(incident)
        if (ended := incidents.closed(before, memory, seen, now)) is not None:
            self._incidents.keep(ended)
            log.warning("an incident is over", incident=ended.id, cured_by=ended.cured_by, took_s=ended.not_ready_s)
            incident = None
        memory = self._noted_ready(before, memory, seen, now)
        self._remember(memory.model_copy(update={"incident": incident}))
        if decision.alert is not None:
            self._alert(decision.alert, self._message(decision), incident or ended)
        if decision.rung is not None and decision.rung is not Rung.HOLD:
            lock.extend(self._limits.deadlines_s[decision.rung] + LOCK_S, replace_ttl=True)
            self._carry_out(decision.rung, decision.cause, seen, incident)

    def _noted_ready(self, before: Memory, memory: Memory, seen: Observation, now: datetime) -> Memory:
        """Since when it is ready. Where it was left and entered again since the last look, that was an incident."""
        if seen.ready_since is None:
            return memory
        if before.ready_since is not None and not incidents.is_ready_anew(before, seen) and before.incident is None:
            return memory
        entries: Any = self._redis.xrevrange(
            self._client.names.events, min=before.events_read or "-", count=EVENTS_LOOKED_THROUGH
        )
        if incidents.is_ready_anew(before, seen):
            found = (readable_event(entry_id, fields) for entry_id, fields in entries)
            told = [event for event in found if event is not None]
            itself = incidents.cured_by_itself(told, before, seen, self._names.instance_id, now)
            if itself is not None:
                self._incidents.keep(itself)
        newest = str(entries[0][0]) if entries else before.events_read
        return memory.model_copy(update={"ready_since": seen.ready_since, "events_read": newest})

    def _carry_out(self, rung: Rung, cause: str, seen: Observation, incident: Incident | None) -> None:
        incident_id = incident.id if incident else None
        log.warning("taking a rung", rung=rung.value, cause=cause, incident=incident_id)
        started = time.monotonic()
        failure: ContractError | SupervisorUnavailable | None = None
        try:
            if rung is Rung.RESTART_AGENT:
                frozen = seen.verdict in (Verdict.AGENT_HUNG, Verdict.AGENT_GONE)
                self._restarter.restart(cause, incident_id, frozen=frozen)
            else:
                self._client.call(rung.value, {"cause": cause[:200], "incident": incident_id})
        except (ContractError, SupervisorUnavailable) as error:
            failure = error
            log.warning("a rung failed", rung=rung.value, error=str(error))
        self._note_done(rung, round((time.monotonic() - started) * 1000, 1), failure)
        is_told = isinstance(failure, SupervisorUnavailable) and _was_unavailable(incident)
        if failure is not None and not is_told and not isinstance(failure, _TOLD_BY_AGENT.get(rung, ())):
            self._alert("rung_failed", f"{rung.value} ({cause}) could not be carried out: {failure}", incident)

    def _note_done(self, rung: Rung, took_ms: float, failure: Exception | None) -> None:
        memory = self._remembered()
        if memory.attempt is None or memory.attempt.rung is not rung:
            return  # a person has begun anew meanwhile
        if isinstance(failure, SupervisorUnavailable):
            memory = recovery.note_undone(memory, self._clock())
        else:
            memory = recovery.note_done(memory, self._clock(), failed=failure is not None)
        if memory.incident is not None:
            error = None if failure is None else getattr(failure, "code", SUPERVISOR_UNAVAILABLE)
            incident = incidents.carried_out(memory.incident, None if failure else took_ms, error)
            self._incidents.keep(incident)
            memory = memory.model_copy(update={"incident": incident})
        self._remember(memory)

    def _escalate_reset(self) -> None:
        seen = Observation(
            verdict=Verdict.DISCONNECTED, reason="reset_unproven", at=self._clock(), agent_epoch=self._agent_epoch()
        )
        with self._one_at_a_time(wait_s=LOCK_S) as lock:
            if lock is None:
                return
            before = self._remembered()
            self._follow_up(before, recovery.escalate(before, Rung.RESET, seen, self._limits), seen, lock)

    def _agent_epoch(self) -> int | None:
        epoch: Any = self._redis.hget(self._client.names.fence, "epoch")
        return int(epoch) if epoch else None

    # -- telling -----------------------------------------------------------------------------------------------------

    def _message(self, decision: Decision) -> str:
        if decision.alert == recovery.CONFLICT_LEFT:
            return (
                f"Another client holds this session, and it was taken over {len(decision.memory.takeovers)} times "
                f"within an hour (TAKEOVER_LIMIT is {self._limits.most_takeovers}). It is left to it now: close the "
                "other client, then `whatsapp-container reset`."
            )
        attempt = decision.memory.attempt
        tried = ", ".join(rung.value for rung in attempt.taken[:-1]) if attempt else ""
        lasts_s = attempt.lasts_s if attempt else 0.0
        return (
            f"The session is not well ({decision.cause}), and {tried or 'what was tried before'} did not cure it for "
            f"long. Everything is left alone for {lasts_s:g} s, or until somebody restarts it "
            "(`whatsapp-container restart`); `whatsapp-container incidents` says what was done."
        )

    def _alert(self, code: str, message: str, incident: Incident | None) -> None:
        log.error("a person should look", code=code, message=message)
        now = datetime.now(UTC)
        names = self._client.names
        data = AlertData(code=code, message=message, incident=incident.id if incident else None)
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
        """What the last check left. Nothing of it can be used where it is damaged; of another life of this machine
        only the incident that is not over: its times are of a clock that is gone."""
        kept: Any = self._redis.get(self._names.ladder)
        try:
            memory = Memory.model_validate_json(kept) if kept else Memory()
        except ValueError as error:
            log.error("what the ladder remembered is damaged, and is dropped", problem=str(error).splitlines()[0])
            memory = Memory()
        life = boot()
        return memory if memory.boot == life else Memory(boot=life, incident=memory.incident)

    def _remember(self, memory: Memory) -> None:
        self._redis.set(self._names.ladder, memory.model_dump_json(), ex=MEMORY_KEPT_S)


def _was_unavailable(incident: Incident | None) -> bool:
    """Whether a person was told already that supervisord does not do what this incident needs."""
    return incident is not None and any(rung.error == SUPERVISOR_UNAVAILABLE for rung in incident.rungs)
