"""The watchdog: observes the agent from outside, asks the ladder, and carries out its rung."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from redis.lock import Lock

from whatsapp_contract import counters, health, log_context
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
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import Incident
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings

from . import budget, check_history, incidents, recovery, telling
from .check_history import CheckHistory
from .clock import machine_time
from .cron import Cron
from .holder import Holder
from .incidents import IncidentLog
from .locks import one_at_a_time
from .memory import Decision, Limits, Memory, Observation, Rung
from .observing import CHECK_REPLY_WITHIN_S, Observer
from .process_control import ProcessControl, SupervisorUnavailable
from .remembering import LadderMemory
from .restarting import Restarter
from .scheduled_reset import reset_by_the_clock
from .telling import Alert
from .ticks import Ticks

log = get_logger(__name__)

ESCALATES_WITHIN_S = 20.0  # how long a reset that is unproven waits for a check under way
RESTARTED_WITHIN_S = 60  # from when a person's restart is begun until he may ask again, though no new agent spoke
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
        ticks: Ticks | None = None,
    ) -> None:
        self._client = client
        self._redis = client.redis
        self._names = names
        self._limits = limits
        self._clock = clock
        self._holder = Holder(client, names)
        self._restarter = Restarter(client.redis, names, control)
        self._incidents = IncidentLog(client.redis, client.names)
        self._memory = LadderMemory(client.redis, client.names, names)
        self._history = CheckHistory(client.redis, client.names)
        self._ticks = ticks
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
        ticks = Ticks(Cron.parse(settings.health_check_cron).matches)
        return cls(client, settings.instance_names, control, limits, ticks=ticks)

    def check(self, tick: int | None = None) -> None:
        """One observation, and the rung it leads to. An outage of Redis is not the agent's fault: nothing is done;
        nor is anything while another container holds the session: what is seen is the other's. `tick` is the epoch
        second for which it was asked, where a scheduler did."""
        counted = self._ticks.taken(tick) if self._ticks is not None and tick is not None else []
        with _unless_redis_is_away("no check"):
            if self._holder.is_another():
                return
            self._restarter.start_what_is_owed()
            with one_at_a_time(self._redis, self._names.ladder_lock) as lock:
                if lock is None:
                    self._history.keep([*counted, counters.check(counters.OVERLAPPED)])
                    return
                asked_at = datetime.now(UTC)
                seen = self._observer.look()
                if seen is None or not lock.owned():
                    self._history.keep([*counted, counters.check(counters.INTERRUPTED)])
                    return
                counted.append(counters.check(seen.verdict))
                before = self._memory.read()
                self._follow_up(before, recovery.decide(before, seen, self._limits), seen, asked_at, counted)

    def scheduled_reset(self) -> None:
        """A new connection to WhatsApp, by the clock. Only while ready; an unproven one escalates at once, unless the
        link is not what is bad."""
        with _unless_redis_is_away("no scheduled reset"):
            if self._holder.is_another():
                return
            reset_at = self._clock()
            outcome = reset_by_the_clock(self._client)
            self._history.keep([counters.scheduled_reset(outcome)])
            if outcome == counters.UNPROVEN:
                with one_at_a_time(self._redis, self._names.ladder_lock, wait_s=ESCALATES_WITHIN_S) as lock:
                    if lock is not None:
                        self._escalate_reset(reset_at, lock)

    def restart_agent(self, cause: str) -> None:
        """Stop and start the agent, or kill it where it does not answer. Raises SupervisorUnavailable.

        A person asked for it: a hold is over, and what was spent of any budget is forgotten. Nobody asks for another
        until the new agent tells its epoch, or this has failed.
        """
        self._redis.expire(self._names.restart_asked, RESTARTED_WITHIN_S)
        try:
            self._restart_for_person(cause)
        except Exception:
            self._redis.delete(self._names.restart_asked)
            raise

    def _restart_for_person(self, cause: str) -> None:
        try:
            self._client.ping(reply_within_s=CHECK_REPLY_WITHIN_S)
            frozen = False
        except (NoReply, AgentUnreachable):
            frozen = True
        self._memory.note_person()
        self._redis.delete(self._names.starts)
        self._restarter.restart(cause, None, frozen=frozen)

    # -- following up ------------------------------------------------------------------------------------------------

    def _follow_up(
        self, before: Memory, decision: Decision, seen: Observation, asked_at: datetime, counted: Sequence[str] = ()
    ) -> None:
        """Remember before anything is done: a worker killed over a rung leaves word of it. `counted` is what a check
        has to count besides; without, it was none of the scheduler's."""
        ended = incidents.closed(before, decision.memory, seen, asked_at)
        incident = ended or incidents.opened(before, decision, seen, self._names.instance_id, asked_at)
        if ended is not None:
            log.warning("an incident is over", incident=ended.id, cured_by=ended.cured_by, took_s=ended.not_ready_s)
        itself, events_read = self._unseen(before, seen, asked_at)
        left = self._incidents.left(before, asked_at) if before.watched_at is None else []
        memory = incidents.noted_ready(decision.memory, seen, ended is not None, events_read)
        alert = telling.of_decision(decision, incident.id if incident else None, self._limits)
        if itself is not None and incidents.is_of_the_browser(itself):
            memory = budget.browser_ended(memory, seen.at)
        if alert is None and budget.is_news_of_browser_ends(memory, self._limits):
            alert = telling.browser_ends_often(memory, self._limits)
            memory = memory.model_copy(update={"browser_ends_told": True})
        self._memory.keep(
            memory.model_copy(update={"incident": None if ended else incident}),
            [*left, *(one for one in (incident, itself) if one is not None)],
            alert,
        )
        counted = [*counted, *check_history.of_decision(before, decision, incident, itself)]
        self._history.keep(counted, check_history.noted(seen, asked_at))
        if decision.rung is not None and decision.rung is not Rung.HOLD:
            self._carry_out(decision.rung, decision.cause, seen, incident)

    def _unseen(self, before: Memory, seen: Observation, asked_at: datetime) -> tuple[Incident | None, str | None]:
        """The incident that was over before anybody looked, where ready was left and entered again since the last
        look; and the newest event by now."""
        is_anew = incidents.is_ready_anew(before, seen)
        is_known = before.ready_since is not None and before.incident is None
        if seen.ready_since is None or (is_known and not is_anew):
            return None, before.events_read
        told, newest = self._incidents.told_since(before.events_read)
        if not is_anew:
            return None, newest
        return incidents.cured_by_itself(told, before, seen, self._names.instance_id, asked_at), newest

    def _carry_out(self, rung: Rung, cause: str, seen: Observation, incident: Incident | None) -> None:
        incident_id = incident.id if incident else None
        with log_context.bound(incident=incident_id, rung=rung.value):
            log.warning("taking a rung", cause=cause)
            self._take(rung, cause, seen, incident)

    def _take(self, rung: Rung, cause: str, seen: Observation, incident: Incident | None) -> None:
        incident_id = incident.id if incident else None
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
            log.warning("a rung failed", error=str(error))
        alert = None
        is_told = isinstance(failure, SupervisorUnavailable) and _was_unavailable(incident)
        if failure is not None and not is_told and not isinstance(failure, _TOLD_BY_AGENT.get(rung, ())):
            message = f"{rung.value} ({cause}) could not be carried out: {failure}"
            alert = Alert("rung_failed", message, incident_id)
        took_ms = round((time.monotonic() - started) * 1000, 1)
        if failure is None:
            log.info("a rung was carried out", took_ms=took_ms)
        self._note_done(rung, took_ms, failure, alert)
        self._history.keep([counters.rung(rung, failed=failure is not None)])

    def _note_done(self, rung: Rung, took_ms: float, failure: Exception | None, alert: Alert | None) -> None:
        memory = self._memory.read()
        if memory.attempt is None or memory.attempt.rung is not rung:
            return  # a person has begun anew meanwhile
        if isinstance(failure, SupervisorUnavailable) and not self._restarter.is_start_owed:
            memory = recovery.note_undone(memory, self._clock())
        else:
            memory = recovery.note_done(memory, self._clock(), failed=failure is not None)
        incident = memory.incident
        if incident is not None:
            error = None if failure is None else getattr(failure, "code", SUPERVISOR_UNAVAILABLE)
            incident = incidents.carried_out(incident, None if failure else took_ms, error)
        self._memory.keep(
            memory.model_copy(update={"incident": incident}), [incident] if incident is not None else [], alert
        )

    # -- the scheduled reset -----------------------------------------------------------------------------------------

    def _escalate_reset(self, reset_at: float, lock: Lock) -> None:
        """Look first: the link may have come back since, or the site be what cannot be reached."""
        asked_at = datetime.now(UTC)
        seen = self._observer.look()
        if seen is None or not lock.owned():
            return
        if seen.verdict is Verdict.HEALTHY and (seen.frame_seen is None or seen.frame_seen <= reset_at):
            seen = seen.model_copy(update={"verdict": Verdict.DISCONNECTED, "reason": "reset_unproven"})
        before = self._memory.read()
        self._follow_up(before, recovery.escalate(before, Rung.RESET, seen, self._limits), seen, asked_at)


@contextmanager
def _unless_redis_is_away(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_outage(error):
            raise
        log.warning(f"{what}: Redis is away", error=str(error))


def _was_unavailable(incident: Incident | None) -> bool:
    """Whether a person was told already that supervisord does not do what this incident needs."""
    return incident is not None and any(rung.error == SUPERVISOR_UNAVAILABLE for rung in incident.rungs)
