"""Health by evidence: facts with the time they were seen, and a pure verdict over them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from .states import SessionState

# Reasons of STARTING. The agent tries these again by itself, for as long as it takes; no restart helps.
SITE_UNREACHABLE = "site_unreachable"  # WhatsApp's site cannot be loaded
RETRIED_BY_AGENT = frozenset({SITE_UNREACHABLE, "store_unavailable", "disk_trouble", "internal"})
# The session is held by another agent.
OUTRUN = "outrun"
# And these stay as they are until a person changes a key, a setting, the image or what is in the store.
LEFT_TO_A_PERSON = frozenset({"store_refused", "wrong_key", "newer_browser", "newer_format", "bad_archive", OUTRUN})


class Verdict(StrEnum):
    """What the facts amount to. The last two can only be seen from outside the agent."""

    HEALTHY = "healthy"
    WAITING_FOR_PERSON = "waiting_for_person"  # no restart can scan a code, close another client, or find the cause
    DEGRADED = "degraded"  # coming up, within its time
    DISCONNECTED = "disconnected"
    PAGE_HUNG = "page_hung"
    BROWSER_GONE = "browser_gone"
    BLOCKED = "blocked"
    AGENT_HUNG = "agent_hung"  # listens, but does not answer
    AGENT_GONE = "agent_gone"  # nobody listens


class Facts(BaseModel):
    """What the agent saw, and when. A time that is null means never seen: unknown, not dead.

    Times are wall-clock times reckoned back from a monotonic clock when the facts are gathered, so a stepped
    clock does not age them. Readers reckon ages against `observed_at` or their own clock.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    observed_at: AwareDatetime
    state: SessionState
    since: AwareDatetime
    reason: str | None = None  # why it is in that state
    held_until: AwareDatetime | None = None  # the start budget is spent: no browser until then
    browser_seen_at: AwareDatetime | None = None  # last message from Chromium
    page_seen_at: AwareDatetime | None = None  # last answer of the page
    page_took_ms: float | None = None  # how long that answer took
    frame_seen_at: AwareDatetime | None = None  # last WebSocket frame from WhatsApp's server
    link_asked_after_s: float | None = None  # silence after which the agent asks the server (LINK_SILENCE_S)
    link_asked_at: AwareDatetime | None = None  # last query sent because the link was silent
    link_answered_at: AwareDatetime | None = None  # last time such a query was followed by a frame
    stream_mode: str | None = None
    stream_info: str | None = None
    socket_state: str | None = None
    authenticated: bool | None = None


@dataclass(frozen=True)
class Limits:
    """How old a fact, or a state, may be.

    `link_silence_s` is for whoever finds an agent that has stopped asking: an agent that works asks the server long
    before, after LINK_SILENCE_S, and leaves READY when it is not answered. Hence it is never below two such rounds.
    """

    page_silence_s: float = 30.0
    browser_silence_s: float = 30.0
    link_silence_s: float = 120.0
    starting_s: float = 180.0
    syncing_s: float = 900.0


@dataclass(frozen=True)
class Assessment:
    """A verdict, the fact that decided it, and since when that fact has stood (null: since just now)."""

    verdict: Verdict
    reason: str
    since: datetime | None = None


# What needs a person is never "fixed" by a restart.
_FOR_A_PERSON = frozenset({SessionState.AWAITING_SCAN, SessionState.LOGGED_OUT, SessionState.CONFLICT})


def verdict(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    """What the facts amount to at `now`. Pure.

    A verdict of HEALTHY needs everything at once: a browser, a page and a server heard lately (a server that was
    never heard is unknown, not dead), an account, and the state ready, which the agent leaves when the link dies.
    """
    state, in_state = facts.state, now - facts.since

    if facts.held_until is not None and facts.held_until > now:
        return Assessment(Verdict.WAITING_FOR_PERSON, "start_budget_spent", facts.since)
    if state is SessionState.STOPPING:
        return Assessment(Verdict.DEGRADED, "stopping", facts.since)
    if state is SessionState.STARTING:
        return _starting(facts, limits, in_state)
    if _silent(facts.browser_seen_at, limits.browser_silence_s, now):
        return Assessment(Verdict.BROWSER_GONE, "browser_silent", facts.browser_seen_at)
    if _silent(facts.page_seen_at, limits.page_silence_s, now):
        return Assessment(Verdict.PAGE_HUNG, "page_silent", facts.page_seen_at)
    if state is SessionState.BLOCKED:
        return Assessment(Verdict.BLOCKED, facts.reason or "blocked", facts.since)
    if state in _FOR_A_PERSON:
        return Assessment(Verdict.WAITING_FOR_PERSON, state.value, facts.since)
    if state is SessionState.DISCONNECTED:
        return Assessment(Verdict.DISCONNECTED, facts.reason or "disconnected", facts.since)
    if state is SessionState.SYNCING:
        return _unless_overdue(state, in_state, limits.syncing_s, facts.since)
    return _ready(facts, limits, now)


def _starting(facts: Facts, limits: Limits, in_state: timedelta) -> Assessment:
    if facts.reason in RETRIED_BY_AGENT:
        return Assessment(Verdict.DEGRADED, facts.reason, facts.since)
    if facts.reason in LEFT_TO_A_PERSON:
        return Assessment(Verdict.WAITING_FOR_PERSON, facts.reason, facts.since)
    return _unless_overdue(facts.state, in_state, limits.starting_s, facts.since)


def _ready(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    """The state says ready; the account and the link must bear it out."""
    if facts.authenticated is False:
        return Assessment(Verdict.DISCONNECTED, "not_authenticated")
    heard_at = max(filter(None, (facts.frame_seen_at, facts.link_answered_at)), default=None)
    # Two rounds of asking the server, answers included, where those take longer than the limit.
    limit_s = max(limits.link_silence_s, 2 * (facts.link_asked_after_s or 0.0) + 10.0)
    if heard_at is not None and _silent(heard_at, limit_s, now):
        return Assessment(Verdict.DISCONNECTED, "link_stale", heard_at)
    return Assessment(Verdict.HEALTHY, "ready")


def _silent(seen_at: datetime | None, limit_s: float, now: datetime) -> bool:
    return seen_at is None or now - seen_at > timedelta(seconds=limit_s)


def _unless_overdue(state: SessionState, in_state: timedelta, limit_s: float, since: datetime) -> Assessment:
    """Coming up takes its time; past its deadline the page is taken to be stuck."""
    if in_state <= timedelta(seconds=limit_s):
        return Assessment(Verdict.DEGRADED, state.value, since)
    return Assessment(Verdict.PAGE_HUNG, f"stuck_in_{state.value}", since)
