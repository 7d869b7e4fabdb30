"""Health by evidence: facts with the time they were seen, and a pure verdict over them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from .errors import BrowserGone, PageCrashed, PageTimeout
from .states import SessionState

# Reasons of STARTING. The agent tries these again by itself, for as long as it takes; no restart helps.
SITE_UNREACHABLE = "site_unreachable"  # WhatsApp's site cannot be loaded
RETRIED_BY_AGENT = frozenset({SITE_UNREACHABLE, "store_unavailable", "disk_trouble", "internal"})
# The session is held by another agent.
OUTRUN = "outrun"
# And these stay as they are until a person changes a key, a setting, the image or what is in the store.
LEFT_TO_A_PERSON = frozenset({"store_refused", "wrong_key", "newer_browser", "newer_format", "bad_archive", OUTRUN})


# Why a link is down that no rung brings back: the page's own requests do not reach the site.
SITE_SILENT = "site_silent"
PAGE_SILENT = "page_silent"
# They do not, and the agent's own do: it is the browser's fault.
BROWSER_OFFLINE = "browser_offline"
# The agent was held up, by the machine or by itself; it judges again when it has caught up.
AGENT_SLOW = "agent_slow"
# supervisord does not say whether an agent that nobody hears should run at all.
SUPERVISOR_SILENT = "supervisor_silent"
# It, or Redis, was started just now. For minutes on end that is no excuse.
AGENT_STARTING, REDIS_SETTLING = "agent_starting", "redis_settling"
# A check was answered with an error that says nothing of page or browser; its code follows.
CHECK_FAILED = "check_"

# The build of the site lacks what a call needs without which a session is of no use. No rung brings it back.
CALLS_BROKEN = "calls_broken"
VITAL_CALLS = frozenset({"messages_in"})


class Verdict(StrEnum):
    """What the facts amount to. The last two can only be seen from outside the agent."""

    HEALTHY = "healthy"
    WAITING_FOR_PERSON = "waiting_for_person"  # no restart can scan a code, close another client, or find the cause
    DEGRADED = "degraded"  # coming up, within its time
    DISCONNECTED = "disconnected"
    DEAF = "deaf"  # messages reach the page's store, and the page does not tell of them
    PAGE_HUNG = "page_hung"
    BROWSER_GONE = "browser_gone"
    BLOCKED = "blocked"
    AGENT_HUNG = "agent_hung"  # listens, but does not answer
    AGENT_GONE = "agent_gone"  # nobody listens


class Outside(BaseModel):
    """What only a watcher outside the agent can see, at `asked_at`. Null: could not be learned."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked_at: AwareDatetime
    listeners: int | None = None  # who received the question; 0: nobody subscribes to the commands
    reply_took_ms: float | None = None  # null: no reply within the time for one
    error: str | None = None  # the code with which a check failed: what the page, or the browser, is in
    program: str | None = None  # supervisord's name of the agent's state
    program_running_s: float | None = None
    start_owed: bool = False  # a restart has stopped the agent, and is to start it again
    redis_up_s: float | None = None


class Facts(BaseModel):
    """What the agent saw, and when. A time that is null means never seen: unknown, not dead.

    Times are wall-clock times reckoned back from a monotonic clock when the facts are gathered, so a stepped
    clock does not age them. Readers reckon ages against `observed_at` or their own clock.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    observed_at: AwareDatetime
    state: SessionState
    since: AwareDatetime
    timed_since: AwareDatetime | None = None  # `since`, later by the time in which the agent did not run
    coming_up_since: AwareDatetime | None = None  # likewise, and by outages: when this try to get ready began
    reason: str | None = None  # why it is in that state
    held_until: AwareDatetime | None = None  # the start budget is spent: no browser until then
    browser_seen_at: AwareDatetime | None = None  # last message from Chromium
    page_seen_at: AwareDatetime | None = None  # last answer of the page
    page_took_ms: float | None = None  # how long that answer took
    frame_seen_at: AwareDatetime | None = None  # last WebSocket frame from WhatsApp's server
    link_asked_after_s: float | None = None  # silence after which the agent asks the server (LINK_SILENCE_S)
    link_asked_at: AwareDatetime | None = None  # last query sent because the link was silent
    link_answered_at: AwareDatetime | None = None  # last time such a query was followed by a frame
    injected: bool | None = None  # wa-js has found the page's modules
    broken_calls: tuple[str, ...] = ()  # what does not work with this build of the site, as its probe says
    stream_mode: str | None = None
    stream_info: str | None = None
    socket_state: str | None = None
    online: bool | None = None  # as the browser has it
    authenticated: bool | None = None
    site_answered_at: AwareDatetime | None = None  # last time a request of the page reached the site
    site_silent_since: AwareDatetime | None = None  # neither its requests nor the agent's reach the site since then
    browser_offline_since: AwareDatetime | None = None  # its requests do not, since then, and the agent's do
    stored_message_at: AwareDatetime | None = None  # when the page's store last got a message
    told_message_at: AwareDatetime | None = None  # when the page last told of one
    unheard_since: AwareDatetime | None = None  # a message is in the store since then and was not told
    message_event_at: AwareDatetime | None = None  # last `message` event
    memory_bytes: int | None = None  # of the browser's whole process tree
    memory_seen_at: AwareDatetime | None = None
    loop_lag_ms: float | None = None  # the agent's event loop, worst of the last ten seconds
    outside: Outside | None = None  # added by whoever looks from outside


@dataclass(frozen=True)
class Limits:
    """How old a fact, or a state, may be.

    `link_silence_s` is for whoever finds an agent that has stopped asking: an agent that works asks the server long
    before, after LINK_SILENCE_S, and leaves READY when it is not answered. Hence it is never below two such rounds.
    """

    page_silence_s: float = 30.0
    browser_silence_s: float = 30.0
    link_silence_s: float = 120.0
    unheard_s: float = 10.0
    loop_lag_s: float = 5.0
    browser_offline_s: float = 30.0  # a browser that could not load the site tries again within that time
    # States, each with the time after which it counts as stuck.
    starting_s: float = 180.0
    syncing_s: float = 900.0
    disconnected_s: float = 120.0
    conflict_s: float = 600.0
    coming_up_s: float = 1200.0  # starting and syncing in all, where the page loads itself anew again and again
    # For whoever looks from outside: an agent, or a Redis, that young may have no subscribers yet.
    agent_grace_s: float = 20.0
    redis_settled_s: float = 10.0


@dataclass(frozen=True)
class Assessment:
    """A verdict, the fact that decided it, and since when that fact has stood (null: since just now)."""

    verdict: Verdict
    reason: str
    since: datetime | None = None


# Errors of a check, and what they say.
_PAGE_ERRORS = frozenset({PageTimeout.code, PageCrashed.code})

_WITHOUT_END = frozenset({AGENT_SLOW, SUPERVISOR_SILENT, AGENT_STARTING, REDIS_SETTLING})

# What ends in READY by itself.
COMING_UP = frozenset({SessionState.STARTING, SessionState.SYNCING})
# What needs a person is never "fixed" by a restart.
_FOR_A_PERSON = frozenset({SessionState.AWAITING_SCAN, SessionState.LOGGED_OUT, SessionState.CONFLICT})


def verdict(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    """What the facts amount to at `now`. Pure.

    The first that decides, in this order:
    1. What was seen from outside, where it was: the other facts may be those of a dead agent.
    2. What waits for time or a person: the start budget, stopping, a session that cannot be restored.
    3. An agent whose loop was held up. It did not listen meanwhile, so that the silence of others says nothing, nor
       that something is not over yet.
    4. A browser or a page that is coming up.
    5. Browser, then page: who is silent.
    6. What the state says: blocked, for a person, disconnected, syncing.
    7. Ready must be borne out: an account, a server heard lately (one that was never heard is unknown, not dead),
       and a page that tells of what its store gets.
    """
    if facts.outside is not None and (seen := _from_outside(facts.outside, limits)) is not None:
        return seen
    state = facts.state
    if facts.held_until is not None and facts.held_until > now:
        return Assessment(Verdict.WAITING_FOR_PERSON, "start_budget_spent", facts.since)
    if state is SessionState.STOPPING:
        return Assessment(Verdict.DEGRADED, "stopping", facts.since)
    if state is SessionState.STARTING and facts.reason in LEFT_TO_A_PERSON:
        return Assessment(Verdict.WAITING_FOR_PERSON, facts.reason or "", facts.since)
    if _is_held_up(facts, limits):
        return Assessment(Verdict.DEGRADED, AGENT_SLOW)
    if state is SessionState.STARTING:
        return _starting(facts, limits, now)
    if _silent(facts.browser_seen_at, limits.browser_silence_s, now):
        return Assessment(Verdict.BROWSER_GONE, "browser_silent", facts.browser_seen_at)
    if _silent(facts.page_seen_at, limits.page_silence_s, now):
        return Assessment(Verdict.PAGE_HUNG, PAGE_SILENT, facts.page_seen_at)
    if state is SessionState.BLOCKED:
        return Assessment(Verdict.BLOCKED, facts.reason or "blocked", facts.since)
    if state in _FOR_A_PERSON:
        return Assessment(Verdict.WAITING_FOR_PERSON, state.value, facts.since)
    if state is SessionState.DISCONNECTED:
        return _disconnected(facts, limits, now)
    if state is SessionState.SYNCING:
        return _coming_up(facts, limits, now)
    return _ready(facts, limits, now)


def _is_held_up(facts: Facts, limits: Limits) -> bool:
    return facts.loop_lag_ms is not None and facts.loop_lag_ms > limits.loop_lag_s * 1000


def _starting(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    if facts.reason not in RETRIED_BY_AGENT:
        return _coming_up(facts, limits, now)
    if facts.reason == SITE_UNREACHABLE and _is_offline(facts, limits, now):
        return Assessment(Verdict.BROWSER_GONE, BROWSER_OFFLINE, facts.browser_offline_since)
    return Assessment(Verdict.DEGRADED, facts.reason or "", facts.since)


def _is_offline(facts: Facts, limits: Limits, now: datetime) -> bool:
    """For long enough: while a page comes up it is asked, and loaded, only every now and then."""
    since = facts.browser_offline_since
    return since is not None and _silent(since, limits.browser_offline_s, now)


def _syncing_s(facts: Facts, limits: Limits, now: datetime) -> float:
    """A page that is not connected and hears nothing does not sync, whatever it shows: it has the time of a start."""
    return limits.starting_s if _is_idle(facts, limits, now) else limits.syncing_s


def _is_idle(facts: Facts, limits: Limits, now: datetime) -> bool:
    return facts.socket_state != "CONNECTED" and _silent(facts.frame_seen_at, limits.starting_s, now)


def _from_outside(outside: Outside, limits: Limits) -> Assessment | None:
    """None where the agent answered: then its own facts decide."""
    if outside.listeners == 0:
        return _nobody_listens(outside, limits)
    if outside.error in _PAGE_ERRORS:
        return Assessment(Verdict.PAGE_HUNG, outside.error or "", outside.asked_at)
    if outside.error == BrowserGone.code:
        return Assessment(Verdict.BROWSER_GONE, outside.error, outside.asked_at)
    if outside.error is not None:
        return Assessment(Verdict.DEGRADED, CHECK_FAILED + outside.error, outside.asked_at)
    if outside.reply_took_ms is None:
        return _no_reply(outside, limits)
    return None


def _nobody_listens(outside: Outside, limits: Limits) -> Assessment:
    """It counts only when it is known that the agent should run at all."""
    if (excused := _excused(outside, limits)) is not None:
        return excused
    if outside.program is None:
        return Assessment(Verdict.DEGRADED, SUPERVISOR_SILENT, outside.asked_at)
    return Assessment(Verdict.AGENT_GONE, "nobody_listens", outside.asked_at)


def _no_reply(outside: Outside, limits: Limits) -> Assessment:
    return _excused(outside, limits) or Assessment(Verdict.AGENT_HUNG, "no_reply", outside.asked_at)


def _excused(outside: Outside, limits: Limits) -> Assessment | None:
    """Why an agent need not listen, or answer, yet: it counts only when there was time for it. (Somebody else may
    listen on the channel of one that does not run.) An age by a wall clock, as Redis' is, may be below zero: the clock
    was set back since, and there was."""
    if outside.program == "STOPPED":
        if outside.start_owed:
            return Assessment(Verdict.DEGRADED, "restart_unfinished", outside.asked_at)
        return Assessment(Verdict.WAITING_FOR_PERSON, "agent_stopped", outside.asked_at)
    if outside.redis_up_s is not None and 0 <= outside.redis_up_s < limits.redis_settled_s:
        return Assessment(Verdict.DEGRADED, REDIS_SETTLING, outside.asked_at)
    if outside.program is None:
        return None
    if outside.program != "RUNNING" or 0 <= (outside.program_running_s or 0.0) < limits.agent_grace_s:
        return Assessment(Verdict.DEGRADED, AGENT_STARTING, outside.asked_at)
    return None


def says_nothing_for_ever(reason: str) -> bool:
    """Whether a DEGRADED for this reason has no end of its own: whoever remembers for how long must give it one."""
    return reason in _WITHOUT_END or reason.startswith(CHECK_FAILED)


def _disconnected(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    if facts.browser_offline_since is not None:
        return Assessment(Verdict.BROWSER_GONE, BROWSER_OFFLINE, facts.browser_offline_since)
    reason = facts.reason or "disconnected"
    if facts.site_silent_since is not None:
        reason = SITE_SILENT
    elif _is_past_deadline(facts, limits, now):
        reason = stuck_in(facts.state)
    return Assessment(Verdict.DISCONNECTED, reason, facts.since)


def _ready(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    """The state says ready; the account and the link must bear it out."""
    if facts.authenticated is False:
        return Assessment(Verdict.DISCONNECTED, "not_authenticated")
    heard_at = max(filter(None, (facts.frame_seen_at, facts.link_answered_at)), default=None)
    # Two rounds of asking the server, answers included, where those take longer than the limit.
    limit_s = max(limits.link_silence_s, 2 * (facts.link_asked_after_s or 0.0) + 10.0)
    if heard_at is not None and _silent(heard_at, limit_s, now):
        return Assessment(Verdict.DISCONNECTED, "link_stale", heard_at)
    if not VITAL_CALLS.isdisjoint(facts.broken_calls):
        return Assessment(Verdict.BLOCKED, CALLS_BROKEN)
    if facts.unheard_since is not None and _silent(facts.unheard_since, limits.unheard_s, now):
        return Assessment(Verdict.DEAF, "message_unheard", facts.unheard_since)
    return Assessment(Verdict.HEALTHY, "ready")


def _silent(seen_at: datetime | None, limit_s: float, now: datetime) -> bool:
    return seen_at is None or now - seen_at > timedelta(seconds=limit_s)


def _coming_up(facts: Facts, limits: Limits, now: datetime) -> Assessment:
    """It takes its time; past its deadline the page is taken to be stuck, unless no page could come up."""
    if _is_offline(facts, limits, now):
        return Assessment(Verdict.BROWSER_GONE, BROWSER_OFFLINE, facts.browser_offline_since)
    if not _is_past_deadline(facts, limits, now):
        return Assessment(Verdict.DEGRADED, facts.state.value, facts.since)
    if facts.site_silent_since is not None:
        return Assessment(Verdict.DISCONNECTED, SITE_SILENT, facts.site_silent_since)
    return Assessment(Verdict.PAGE_HUNG, stuck_in(facts.state), facts.since)


# -- states that outlive their deadline -------------------------------------------------------------------------------


_TOLD_ELSEWHERE = (RETRIED_BY_AGENT | LEFT_TO_A_PERSON) - {SITE_UNREACHABLE}


def stuck_in(state: SessionState) -> str:
    """What a state past its deadline is called: the reason of a verdict, and the code of an alert."""
    return f"stuck_in_{state.value}"


def is_overdue(facts: Facts, limits: Limits, now: datetime) -> bool:
    """Whether the state has outlived its deadline. Not where the cause is known and was told in its own way: the start
    budget, and a session that cannot be restored."""
    if _is_held_up(facts, limits) or (facts.held_until is not None and facts.held_until > now):
        return False
    if facts.state is SessionState.STARTING and facts.reason in _TOLD_ELSEWHERE:
        return False
    return _is_past_deadline(facts, limits, now)


def _is_past_deadline(facts: Facts, limits: Limits, now: datetime) -> bool:
    """Of its state's; or of coming up at all, which a page that loads itself anew never ends."""
    deadlines_s = {
        SessionState.STARTING: limits.starting_s,
        SessionState.SYNCING: _syncing_s(facts, limits, now),
        SessionState.DISCONNECTED: limits.disconnected_s,
        SessionState.CONFLICT: limits.conflict_s,
    }
    if facts.state not in deadlines_s:
        return False
    return _silent(facts.timed_since or facts.since, deadlines_s[facts.state], now) or begins_again(facts, limits, now)


def begins_again(facts: Facts, limits: Limits, now: datetime) -> bool:
    """Whether it has been coming up for longer than that can take without a page that loads itself anew."""
    since = facts.coming_up_since
    if since is None or facts.state not in COMING_UP:
        return False
    # What hears nothing has the time of a start in either state.
    limit_s = 2 * limits.starting_s if _is_idle(facts, limits, now) else limits.coming_up_s
    return _silent(since, limit_s, now)


def stuck_fact(facts: Facts, limits: Limits, now: datetime) -> str:
    """The fact that keeps the session in its state, as far as facts can tell. The most telling one."""
    if facts.state is SessionState.CONFLICT:
        return "the account is open in another WhatsApp Web"
    if facts.browser_offline_since is not None:
        return "this browser does not reach the site, which this container does"
    if facts.reason == SITE_UNREACHABLE or facts.site_silent_since is not None:
        return "the site does not answer this browser"
    if facts.online is False:
        return "the browser has no network"
    if _silent(facts.browser_seen_at, limits.browser_silence_s, now):
        return "the browser does not answer"
    if _silent(facts.page_seen_at, limits.page_silence_s, now):
        return "the page does not answer"
    if facts.broken_calls:
        return f"with this build of the site these do not work: {', '.join(facts.broken_calls)}"
    if not facts.injected and not begins_again(facts, limits, now):
        return "wa-js has not found the page's modules"
    if begins_again(facts, limits, now):
        return "the page loads itself anew again and again"
    stands = f"the page stands at {facts.stream_mode}/{facts.stream_info}, its socket at {facts.socket_state}"
    if facts.authenticated:
        return f"authenticated, never ready: {stands}" if facts.state is SessionState.SYNCING else stands
    return f"{stands}, not authenticated"
