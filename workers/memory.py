"""What the ladder of recovery sees, remembers and decides: its words. The deciding is in recovery.py.

All times are seconds of one clock that nobody can step (see clock.py), unless they are called otherwise.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import Incident


class Rung(StrEnum):
    """Cheapest first. A rung's value is also the agent's command, down to restart_browser."""

    RESET = "reset"
    RELOAD = "reload"
    RESTART_BROWSER = "restart_browser"
    RESTART_AGENT = "restart_agent"
    HOLD = "hold"


RUNGS = tuple(Rung)
RESTARTS = frozenset({Rung.RESTART_BROWSER, Rung.RESTART_AGENT})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Limits(_Model):
    """Times in seconds. A rung's deadline counts from when it was taken, its own work included."""

    agree_within_s: float = 60.0  # two observations further apart than this do not agree on anything
    stood_for_s: float = 5.0  # the agent's own dated observation, this old, counts as the first of the two
    deadlines_s: dict[Rung, float] = {
        Rung.RESET: 20.0,
        Rung.RELOAD: 40.0,
        Rung.RESTART_BROWSER: 60.0,
        Rung.RESTART_AGENT: 60.0,
    }
    healthy_anyway_s: float = 180.0  # healthy for so long after a rung, it needs no new evidence any more
    unclear_s: float = 180.0  # without a good look, whatever the bad ones say, something has to be done
    operation_s: float = 300.0  # longer than any operation of the agent's may take, a backup's 125 s included
    # A hold ends by itself: the first after this, each further one within a day after twice as long.
    hold_s: float = 900.0
    longest_hold_s: float = 3600.0
    most_in_a_row: int = 3  # restarts of the agent, without the session having been well between them
    # Starts, whoever made them: past this nothing is restarted by the ladder, either.
    most_starts: int = 5  # of the agent, and of the browser, in a window
    starts_window_s: float = 600.0
    # In a quarter of a day. The ladder's own are no more than this; of supervisord's so many are told.
    most_restarts: int = 12
    restarts_window_s: float = 21_600.0
    # The same fault, cured so often within an hour, is begun one rung higher.
    flaps: int = 3
    most_takeovers: int = 3  # of a session in conflict, in an hour
    long_window_s: float = 3600.0


class Observation(_Model):
    """What one check saw, at `at`: when it was asked for. Null: not known."""

    verdict: Verdict
    reason: str
    at: float
    stood_s: float | None = None  # for how long the agent itself has watched it by then, where it does
    bad_since: float | None = None  # since when the fact has stood that decided it, where that is known
    operation: str | None = None  # under way in the agent
    operation_s: float | None = None  # for how long
    agent_life: int | None = None
    browser_starts: int = 0  # in the start budget's window, whoever made them
    page_seen: float | None = None  # when the page last answered
    frame_seen: float | None = None  # when the server was last heard
    ready_since: float | None = None  # since when the session is ready, where it is
    took_ms: float | None = None  # the check's round trip, whatever it was answered with
    memory_bytes: int | None = None  # of the browser, as the agent told it


class Row(_Model):
    """Of observations that are bad, or say nothing and have no end, without a good one between them."""

    since: float
    mildest: Observation | None = None  # the first of those that the cheapest rung may cure; null: all say nothing


class Attempt(_Model):
    """A rung that was taken and has not been proven yet; only new evidence proves it."""

    rung: Rung
    at: float
    verdict: Verdict  # what it is to cure
    lasts_s: float  # its deadline; of a hold, its length
    done_at: float | None = None  # it was carried out, or could not be; null while it is
    failed: bool = False
    agent_life: int | None = None
    only_by_time: bool = False  # a hold that another agent's start does not end
    taken: tuple[Rung, ...] = ()  # all since the session was last well, this one included


class Cured(_Model):
    """A fault that is over: where its kind is begun on the ladder, and when it ended."""

    first: Rung
    at: float


class Memory(_Model):
    """What the ladder remembers between checks. `boot` names the clock that its times belong to."""

    boot: str | None = None
    watched_at: float | None = None  # the last observation
    steady: bool = False  # that one came soon after another: somebody was looking all the while
    suspect: Observation | None = None  # bad, and not agreed on yet
    trouble: Observation | None = None  # the first of the bad observations since the last good one
    row: Row | None = None  # the one that is not over, since the last rung
    attempt: Attempt | None = None
    agent_life: int | None = None
    own_restarts: int = 0  # of the agent, by the ladder or a person, that no new life has been seen of
    restarts_by_person: int = 0  # up to the last look, ever
    agent_starts: tuple[float, ...] = ()  # whoever made them
    restarts: tuple[float, ...] = ()  # by the ladder, of agent or browser
    others_starts: tuple[float, ...] = ()  # of the agent, by supervisord
    cured: tuple[Cured, ...] = ()
    holds: tuple[float, ...] = ()  # that ran out
    held_told_at: float | None = None
    ends_told: bool = False  # that the agent ends by itself too often
    browser_ends: tuple[float, ...] = ()  # of the browser or its page by themselves, which the agent made good alone
    browser_ends_told: bool = False
    silence_told: bool = False  # that supervisord does not answer
    takeovers: tuple[float, ...] = ()
    conflict_left: bool = False  # to a person, who was told
    incident: Incident | None = None  # the one that is not over
    ready_since: float | None = None  # as last seen
    events_read: str | None = None  # the newest event's id by then


class Decision(_Model):
    """The rung to take now, if any, the code of what a person must be told, if anything, and what to remember."""

    rung: Rung | None
    cause: str
    memory: Memory
    alert: str | None = None
