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
        """Hash: `epoch` of the agent that may speak, `published` = its last event's number; `lives` = how many agents
        have started on this session, whose epochs may be far apart."""
        return f"{self._prefix}:fence"

    @cached_property
    def sequence(self) -> str:
        """Counter behind every event's `seq`."""
        return f"{self._prefix}:seq"

    def probe(self, token: str) -> str:
        """Key, and channel, by which `whatsapp-container doctor` finds out what it may; deleted at once."""
        return f"{self._prefix}:probe:{token}"

    # -- messages in

    @cached_property
    def claims(self) -> str:
        """Sorted set: the keys of what was told once (messages, acknowledgements), by epoch seconds of telling."""
        return f"{self._prefix}:claims"

    @cached_property
    def incidents(self) -> str:
        """Hash: each incident as JSON, by its id; the latest thousand."""
        return f"{self._prefix}:incidents"

    @cached_property
    def incidents_order(self) -> str:
        """Sorted set: ids of the incidents, by the time at which they began."""
        return f"{self._prefix}:incidents-order"

    @cached_property
    def builds(self) -> str:
        """Hash: for a build of WhatsApp Web what works with it and when it was seen, as JSON; `fallback` is the one
        that is gone back from. See browser_agent/build_memory.py."""
        return f"{self._prefix}:builds"

    @cached_property
    def watermarks(self) -> str:
        """Hash: for a chat the message up to which everything was told, as JSON; see browser_agent/watermarks.py."""
        return f"{self._prefix}:watermarks"

    @cached_property
    def follow(self) -> str:
        """String: which chats are followed, and since when, as JSON."""
        return f"{self._prefix}:follow"

    @cached_property
    def media(self) -> str:
        """Hash: the photo ledger, for a message's key what is known of its file, as JSON."""
        return f"{self._prefix}:media"

    @cached_property
    def media_due(self) -> str:
        """Sorted set: keys of files still to be stored, by the epoch second from which on they may be tried."""
        return f"{self._prefix}:media:due"

    @cached_property
    def media_failed(self) -> str:
        """Sorted set: keys of files that were given up, by epoch second."""
        return f"{self._prefix}:media:failed"

    @cached_property
    def media_stored(self) -> str:
        """Sorted set: keys of files that are stored, by epoch second."""
        return f"{self._prefix}:media:stored"

    @cached_property
    def media_urls(self) -> str:
        """Hash: for a file's SHA-256 where it is stored."""
        return f"{self._prefix}:media:urls"

    # -- messages out

    def send(self, idempotency_key: str) -> str:
        """String: one send, as JSON; expires some days after its end."""
        return f"{self._prefix}:send:{idempotency_key}"

    @cached_property
    def sends_open(self) -> str:
        """Sorted set: idempotency keys of sends that have no end yet, by epoch second of acceptance."""
        return f"{self._prefix}:sends:open"

    def sends_of(self, chat_id: str) -> str:
        """List: idempotency keys of a chat's open sends, in their order."""
        return f"{self._prefix}:sends:chat:{chat_id}"

    @cached_property
    def sends_chats(self) -> str:
        """Set: chats that have open sends, or had some lately."""
        return f"{self._prefix}:sends:chats"

    def send_of(self, message_id: str) -> str:
        """String: the idempotency key of the send that a message of ours came from; expires with it. By the message's
        id, the third part of its key: the others vary with who speaks of it."""
        return f"{self._prefix}:sends:message:{message_id}"

    @cached_property
    def sends_recent(self) -> str:
        """Sorted set: idempotency keys of sends that went out in the last days, by epoch second of going out."""
        return f"{self._prefix}:sends:recent"

    @cached_property
    def pace(self) -> str:
        """Hash: the earliest time (epoch seconds, by Redis' clock) of the next send, of all (`all`), of strangers'
        (`strangers`) and for each chat."""
        return f"{self._prefix}:sends:pace"

    @cached_property
    def sending(self) -> str:
        """Hash: `stopped` = why nothing is sent at present, `since`; `known` is there once an agent has looked whether
        its session's snapshot knows of a list or a stop that this Redis has lost."""
        return f"{self._prefix}:sends:stopped"

    @cached_property
    def suppressed(self) -> str:
        """Set: addresses that are never written to."""
        return f"{self._prefix}:suppressed"

    @cached_property
    def send_queue(self) -> str:
        """List: Huey's queue of sends, of the session, whichever container carries them. Taken from the right."""
        return f"{self._prefix}:sends:queue"

    @cached_property
    def send_queue_due(self) -> str:
        """Sorted set: messages of that queue that wait, by the epoch second at which they are due."""
        return f"{self._prefix}:sends:queue:due"

    @cached_property
    def send_queue_takers(self) -> str:
        """Sorted set: whoever takes from that queue, by the epoch second of the last sign of life."""
        return f"{self._prefix}:sends:queue:takers"

    def send_queue_taken(self, taker: str) -> str:
        """List: the message that a taker works on."""
        return f"{self._prefix}:sends:queue:taken:{taker}"

    @cached_property
    def send_queue_redelivered(self) -> str:
        """Hash: for a message how often it was taken by a worker that died over it."""
        return f"{self._prefix}:sends:queue:redelivered"

    # -- web

    def closed_login(self, nonce: str) -> str:
        """String: a browser's session that somebody signed out of; expires when that would have ended by itself."""
        return f"{self._prefix}:web:closed:{nonce}"

    # -- history

    @cached_property
    def history(self) -> str:
        """List: what the checks of the last day have seen, by minutes as JSON, the latest first; see history.py."""
        return f"{self._prefix}:history"

    @cached_property
    def check_counts(self) -> str:
        """Hash: the watchdog's counters; see counters.py."""
        return f"{self._prefix}:counts:checks"

    @cached_property
    def event_counts(self) -> str:
        """Hash: how many events were told, by type and kind; see counters.py."""
        return f"{self._prefix}:counts:events"

    # -- webhooks: `hook` is an address' id, see whatsapp_contract/webhooks.py

    @cached_property
    def webhooks(self) -> str:
        """Hash: how each webhook stands; its fields are `<hook>.<fact>`."""
        return f"{self._prefix}:webhooks"

    def webhook_lease(self, hook: str) -> str:
        """String: the instance that delivers to it; expires soon after that one's last sign of life."""
        return f"{self._prefix}:webhooks:{hook}:lease"

    def webhook_dead(self, hook: str) -> str:
        """Sorted set: ids of its dead letters, by the epoch second at which they were given up."""
        return f"{self._prefix}:webhooks:{hook}:dead"

    def webhook_letters(self, hook: str) -> str:
        """Hash: each of its dead letters as JSON, by its id."""
        return f"{self._prefix}:webhooks:{hook}:letters"

    def webhook_replays(self, hook: str) -> str:
        """List: ids of its dead letters that are to be tried again. Taken from the left; one stays until it has its
        end."""
        return f"{self._prefix}:webhooks:{hook}:replays"


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

    @cached_property
    def queue_list(self) -> str:
        """List: the tasks in that queue; the name is Huey's."""
        return f"huey.redis.{self.queue}"

    def queue_probe(self, token: str) -> str:
        """As SessionNames.probe, among the keys that Huey makes of the queue's name."""
        return f"{self.queue_list}:probe:{token}"

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
    def restart_asked(self) -> str:
        """String: the epoch of the agent whose end a person has asked for; expires when that is no longer to be
        expected."""
        return f"{self._prefix}:restart-asked"

    @cached_property
    def restart_cause(self) -> str:
        """String: why the agent is being restarted, as JSON (incidents.RestartCause), for the agent that comes up to
        tell; expires soon."""
        return f"{self._prefix}:restart-cause"

    @cached_property
    def start_owed(self) -> str:
        """Hash: the agent is being stopped to be started again, and whoever finds it stopped is to start it; `cause`
        as in `restart_cause`, `tries` that failed, `told` once a person was."""
        return f"{self._prefix}:owed-start"

    @cached_property
    def restarts_by_person(self) -> str:
        """Counter of the restarts of the agent that a person asked for: after each the ladder begins anew."""
        return f"{self._prefix}:restarts-by-person"

    @cached_property
    def aside(self) -> str:
        """String: the instance that holds the session, as long as this one's agent lives and stands aside for it;
        expires soon after the agent's last sign of life."""
        return f"{self._prefix}:aside"

    @cached_property
    def starts(self) -> str:
        """Sorted set of the times (epoch seconds) at which the agent started a browser."""
        return f"{self._prefix}:starts"

    @cached_property
    def memory_cures(self) -> str:
        """String: how often, and when, the browser's memory was won back lately, as JSON; see
        browser_agent/memory_cures.py."""
        return f"{self._prefix}:memory-cures"


def _encode(text: str) -> str:
    """Letters and digits stay, everything else becomes `_xx`: injective, and `__` stays free as a separator."""
    return "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in text)
