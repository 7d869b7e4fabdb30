"""Whose session it is: a container that does not hold it has nothing to watch."""

from datetime import UTC, datetime

from whatsapp_contract.client import AgentClient
from whatsapp_contract.names import InstanceNames

BEATS_WITHIN_S = 60.0


class Holder:
    """As seen from one instance."""

    def __init__(self, client: AgentClient, names: InstanceNames) -> None:
        self._client = client
        self._names = names

    def is_another(self) -> bool:
        """Whether another instance holds the session, and lives. Whoever answers a check is its agent then, and a
        restart of this one's would take the session from it.

        This one's agent says so while it stands aside; one that is frozen, or gone, cannot.
        """
        if self._client.redis.exists(self._names.aside):
            return True
        try:
            status = self._client.status()
        except ValueError:
            return False  # nothing that an agent has written
        if status is None or status.instance == self._names.instance_id:
            return False
        return abs(status.age_s(datetime.now(UTC))) < BEATS_WITHIN_S
