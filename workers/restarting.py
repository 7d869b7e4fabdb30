"""Restarts of the agent through supervisord: one at a time, with word of why, and finished by whoever comes next."""

from typing import TYPE_CHECKING, Any

from whatsapp_contract.incidents import RestartCause
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames

from .observing import AGENT
from .process_control import ProcessControl, SupervisorUnavailable

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

LOCK_S = 30
CAUSE_KEPT_S = 120
START_OWED_S = 600


class Restarter:
    """One instance's agent."""

    def __init__(self, redis_client: "redis.Redis", names: InstanceNames, control: ProcessControl) -> None:
        self._redis = redis_client
        self._names = names
        self._control = control

    def restart(self, cause: str, incident_id: str | None, *, frozen: bool) -> None:
        """One restart at a time, whoever asks. The agent that comes up tells the cause; a later one must not.

        Raises SupervisorUnavailable.
        """
        if not self._redis.set(self._names.restart_lock, cause, nx=True, ex=LOCK_S):
            raise SupervisorUnavailable("another restart is under way")
        left = RestartCause(cause=cause, incident=incident_id).model_dump_json()
        try:
            self._redis.set(self._names.restart_cause, left, ex=CAUSE_KEPT_S)
            if frozen:
                self._control.kill(AGENT)
            else:
                # For whoever comes after a worker that ended between the stop and the start, or could not wait.
                self._redis.set(self._names.start_owed, "1", ex=START_OWED_S)
                self._control.restart(AGENT)
                self._redis.delete(self._names.start_owed)
        except SupervisorUnavailable:
            self._redis.delete(self._names.restart_cause)
            raise
        finally:
            self._redis.delete(self._names.restart_lock)

    def start_what_is_owed(self) -> None:
        """A restart got no further than the stop: an agent that we stopped must not stay stopped."""
        kept: Any = self._redis.mget([self._names.start_owed, self._names.restart_lock])
        owed, under_way = kept
        if not owed or under_way:
            return
        try:
            if self._control.state(AGENT).name in ("STOPPING", "STARTING"):
                return
            self._control.start(AGENT)
        except SupervisorUnavailable as error:
            log.error("the agent is still to be started", error=str(error))
            return
        log.warning("the agent was started, which an interrupted restart had left undone")
        self._redis.delete(self._names.start_owed)
