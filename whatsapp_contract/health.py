"""Health by evidence: facts with the time they were seen, and a pure verdict over them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from .states import SessionState

# Reason of STARTING while WhatsApp's site cannot be loaded.
SITE_UNREACHABLE = "site_unreachable"


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
    link_asked_at: AwareDatetime | None = None  # last query sent because the link was silent
    link_answered_at: AwareDatetime | None = None  # last time such a query was followed by a frame
    stream_mode: str | None = None
    stream_info: str | None = None
    socket_state: str | None = None
    authenticated: bool | None = None


@dataclass(frozen=True)
class Limits:
    """How old a fact, or a state, may be."""

    page_silence_s: float = 30.0
    browser_silence_s: float = 30.0
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

    A verdict of HEALTHY needs everything at once: a browser and a page heard lately, and the state ready, which
    the agent leaves when the link dies.
    """
    state, in_state = facts.state, now - facts.since

    if facts.held_until is not None and facts.held_until > now:
        return Assessment(Verdict.WAITING_FOR_PERSON, "start_budget_spent", facts.since)
    if state is SessionState.STOPPING:
        return Assessment(Verdict.DEGRADED, "stopping", facts.since)
    if state is SessionState.STARTING and facts.reason == SITE_UNREACHABLE:
        return Assessment(Verdict.DEGRADED, SITE_UNREACHABLE, facts.since)  # the agent retries; no restart helps
    if state is SessionState.STARTING:
        return _unless_overdue(state, in_state, limits.starting_s, facts.since)
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
    return Assessment(Verdict.HEALTHY, "ready")


def _silent(seen_at: datetime | None, limit_s: float, now: datetime) -> bool:
    return seen_at is None or now - seen_at > timedelta(seconds=limit_s)


def _unless_overdue(state: SessionState, in_state: timedelta, limit_s: float, since: datetime) -> Assessment:
    """Coming up takes its time; past its deadline the page is taken to be stuck."""
    if in_state <= timedelta(seconds=limit_s):
        return Assessment(Verdict.DEGRADED, state.value, since)
    return Assessment(Verdict.PAGE_HUNG, f"stuck_in_{state.value}", since)
