"""Every name the service uses in Redis, written once."""

import re
from dataclasses import dataclass
from functools import cached_property

SESSION_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
INSTANCE_ID_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"


@dataclass(frozen=True)
class SessionNames:
    """Names that belong to a session, whichever container holds it."""

    session_id: str

    def __post_init__(self) -> None:
        if not re.fullmatch(SESSION_ID_PATTERN, self.session_id):
            raise ValueError(f"session id {self.session_id!r} does not match {SESSION_ID_PATTERN}")

    @cached_property
    def _prefix(self) -> str:
        return f"whatsapp:{self.session_id}"

    @cached_property
    def commands(self) -> str:
        """Pub/sub channel: JSON commands to the agent."""
        return f"{self._prefix}:commands"

    def replies(self, command_id: str) -> str:
        """List with the reply to one command; expires after 60 s."""
        return f"{self._prefix}:replies:{command_id}"

    @cached_property
    def events(self) -> str:
        """Stream of every event, and a pub/sub channel of the same name."""
        return f"{self._prefix}:events"

    @cached_property
    def status(self) -> str:
        """Hash: state, verdict, facts, versions of the agent that holds the session."""
        return f"{self._prefix}:status"

    @cached_property
    def qr(self) -> str:
        """String with the QR payload now to be scanned; expires with it."""
        return f"{self._prefix}:qr"

    @cached_property
    def fence(self) -> str:
        """Hash: `epoch` of the agent that may speak, `published` = its last event's number."""
        return f"{self._prefix}:fence"

    @cached_property
    def sequence(self) -> str:
        """Counter behind every event's `seq`."""
        return f"{self._prefix}:seq"


@dataclass(frozen=True)
class InstanceNames:
    """Names that belong to one container's part in a session: a worker restarts only its own agent."""

    session_id: str
    instance_id: str

    def __post_init__(self) -> None:
        SessionNames(self.session_id)
        if not re.fullmatch(INSTANCE_ID_PATTERN, self.instance_id):
            raise ValueError(f"instance id {self.instance_id!r} does not match {INSTANCE_ID_PATTERN}")

    @cached_property
    def _prefix(self) -> str:
        return f"whatsapp:{self.session_id}:instance:{self.instance_id}"

    @cached_property
    def queue(self) -> str:
        """Huey's queue. Huey strips all but letters, digits and `_` from it, hence the encoding."""
        return f"whatsapp_{_encode(self.session_id)}__{_encode(self.instance_id)}"

    def tick(self, task: str, second: int) -> str:
        """Key that lets one scheduler, of however many, enqueue a task's tick of that epoch second."""
        return f"{self._prefix}:tick:{task}:{second}"

    @cached_property
    def ladder(self) -> str:
        """String: what the recovery ladder remembers, as JSON."""
        return f"{self._prefix}:ladder"

    @cached_property
    def ladder_lock(self) -> str:
        """Lock of whoever observes the agent and takes the ladder's rungs."""
        return f"{self._prefix}:ladder-lock"

    @cached_property
    def restart_lock(self) -> str:
        """Key held while one process restarts the agent through supervisor."""
        return f"{self._prefix}:restart-lock"

    @cached_property
    def restart_cause(self) -> str:
        """String: why the agent is being restarted, for the agent that comes up to tell; expires soon."""
        return f"{self._prefix}:restart-cause"

    @cached_property
    def starts(self) -> str:
        """Sorted set of the times (epoch seconds) at which the agent started a browser."""
        return f"{self._prefix}:starts"


def _encode(text: str) -> str:
    """Letters and digits stay, everything else becomes `_xx`: injective, and `__` stays free as a separator."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in text)
