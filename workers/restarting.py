"""Restarts of the agent through supervisord: one at a time, with word of why, and finished by whoever comes next."""

from typing import TYPE_CHECKING

from whatsapp_contract.incidents import RestartCause
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames, SessionNames

from .locks import one_at_a_time
from .observing import AGENT
from .process_control import ProcessControl, SupervisorUnavailable
from .telling import Alert

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

CAUSE_KEPT_S = 120
TRIES_UNTIL_TOLD = 4  # one at each check; the first ones may come while supervisord is only busy
UNFINISHED = "restart_unfinished"


class Restarter:
    """One instance's agent."""

    def __init__(self, redis_client: "redis.Redis", names: InstanceNames, control: ProcessControl) -> None:
        self._redis = redis_client
        self._names = names
        self._control = control

    def restart(self, cause: str, incident_id: str | None, *, frozen: bool) -> None:
        """One restart at a time, whoever asks. The agent that comes up tells the cause; a later one must not.

        Raises SupervisorUnavailable; nothing was done then, unless supervisord fell silent in the midst of it.
        """
        with one_at_a_time(self._redis, self._names.restart_lock) as lock:
            if lock is None:
                raise SupervisorUnavailable("another restart is under way")
            # What is sent to a frozen supervisord is done when it thaws, to an agent that is well by then.
            self._control.state(AGENT)
            left = RestartCause(cause=cause, incident=incident_id).model_dump_json()
            self._leave_cause(left)
            try:
                self._end_and_start(left, frozen=frozen)
            except SupervisorUnavailable:
                self._redis.delete(self._names.restart_cause)
                raise

    @property
    def is_start_owed(self) -> bool:
        return bool(self._redis.exists(self._names.start_owed))

    def start_what_is_owed(self) -> None:
        """A restart got no further than the stop: an agent that we stopped must not stay stopped. Where it cannot be
        started either a person is told, once for each such restart."""
        if not self.is_start_owed:
            return
        with one_at_a_time(self._redis, self._names.restart_lock) as lock:
            if lock is None:
                return  # it is under way
            try:
                state = self._control.state(AGENT).name
                if state in ("STOPPING", "STARTING"):
                    return
                if state != "RUNNING":
                    self._leave_cause(self._owed_cause())
                self._control.start(AGENT)
            except SupervisorUnavailable as error:
                self._note_unstarted(error)
                return
            if state != "RUNNING":
                log.warning("the agent was started, which an interrupted restart had left undone")
            self._redis.delete(self._names.start_owed)

    def _note_unstarted(self, error: SupervisorUnavailable) -> None:
        key = self._names.start_owed
        tries = int(self._redis.hincrby(key, "tries", 1))
        if tries == 1:
            log.error("the agent is still to be started", error=str(error))
        if tries < TRIES_UNTIL_TOLD or self._redis.hexists(key, "told"):
            return
        message = (
            f"The agent was stopped to be started again, and supervisord does not start it: {error}. It is tried at "
            "every check. The log says more; restart the container if it does not help."
        )
        cause = RestartCause.read(self._owed_cause())
        alert = Alert(UNFINISHED, message, cause.incident)
        with self._redis.pipeline(transaction=True) as step:
            step.hset(key, "told", "1")
            alert.publish(step, SessionNames(self._names.session_id))
            answers = step.execute()
        alert.told(answers)

    def _owed_cause(self) -> str:
        return str(self._redis.hget(self._names.start_owed, "cause") or "")

    def _leave_cause(self, cause: str) -> None:
        """For the agent that comes up to tell."""
        if cause:
            self._redis.set(self._names.restart_cause, cause, ex=CAUSE_KEPT_S)

    def _end_and_start(self, cause: str, *, frozen: bool) -> None:
        if frozen:
            self._control.kill(AGENT)  # and supervisord starts it
            return
        # For whoever comes after a worker that ended between the stop and the start, or could not wait.
        with self._redis.pipeline(transaction=True) as step:
            step.delete(self._names.start_owed)  # an earlier one's tries, and that a person was told, are its own
            step.hset(self._names.start_owed, "cause", cause)
            step.execute()
        self._control.restart(AGENT)
        self._redis.delete(self._names.start_owed)
