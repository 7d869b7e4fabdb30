"""The ladder's memory in Redis. What belongs together - memory, incidents, and what a person must know of them - is
written in one step: a worker killed at any moment leaves all of it, or nothing."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from whatsapp_contract.incidents import Incident
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import InstanceNames, SessionNames

from . import incidents, recovery
from .clock import boot
from .memory import Memory
from .telling import Alert

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

KEPT_S = 7 * 86_400


class LadderMemory:
    """One instance's."""

    def __init__(self, redis_client: "redis.Redis", session: SessionNames, names: InstanceNames) -> None:
        self._redis = redis_client
        self._session = session
        self._names = names

    def read(self) -> Memory:
        """What the last check left, in the light of what a person has done since.

        Nothing of it can be used where it is damaged; of another life of this machine only the incident that is not
        over: its times are of a clock that is gone.
        """
        asked: Any = self._redis.mget([self._names.ladder, self._names.restarts_by_person])
        kept, restarts = asked[0], int(asked[1] or 0)
        try:
            memory = Memory.model_validate_json(kept) if kept else Memory()
        except ValueError as error:
            log.error("what the ladder remembered is damaged, and is dropped", problem=str(error).splitlines()[0])
            memory = Memory()
        life = boot()
        if memory.boot != life:
            memory = Memory(boot=life, incident=memory.incident, restarts_by_person=memory.restarts_by_person)
        if restarts == memory.restarts_by_person:
            return memory
        incident = memory.incident and incidents.helped_by_person(memory.incident, datetime.now(UTC))
        changes = {"restarts_by_person": restarts, "incident": incident}
        times = max(1, restarts - memory.restarts_by_person)  # fewer than before: Redis has lost its memory
        return recovery.note_person(memory, times).model_copy(update=changes)

    def keep(self, memory: Memory, written: Iterable[Incident] = (), alert: Alert | None = None) -> None:
        """Remember, write the incidents, and tell the alert, in one step."""
        with self._redis.pipeline(transaction=True) as step:
            step.set(self._names.ladder, memory.model_dump_json(), ex=KEPT_S)
            for incident in written:
                incidents.keep(step, self._session, incident)
            if alert is not None:
                alert.publish(step, self._session)
            answers = step.execute()
        if alert is not None:
            alert.told(answers)

    def note_person(self) -> None:
        """A person restarts the agent, whoever looks at it meanwhile: the next look begins the ladder anew."""
        self._redis.incr(self._names.restarts_by_person)
