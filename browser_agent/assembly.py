"""The agent's parts, built from its settings and tied to one another. Nothing of them runs yet."""

from typing import TYPE_CHECKING

from whatsapp_contract.events import EventType
from whatsapp_contract.states import SessionState

from .account_marker import AccountMarker
from .browser_keeper import BrowserKeeper, BrowserSettings
from .browser_observer import BrowserObserver
from .build_memory import BuildMemory
from .builds import Builds
from .deadlines import Deadlines
from .event_log import EventLog
from .evidence import Evidence
from .fence import Fence
from .follow import Follow
from .gap_audit import GapAudit
from .inbox import Inbox
from .media.files import Files
from .media.keeper import MediaKeeper
from .media.ledger import Ledger
from .media.process import MediaProcess
from .memory_relief import watch_memory
from .qr_show import QrShow
from .sending.sends import Sends
from .session_flow import SessionFlow
from .session_keeper import SessionKeeper
from .site_reach import reaches
from .site_watch import SiteWatch
from .start_budget import StartBudget
from .status_board import StatusBoard
from .status_report import status_of
from .stream_trimmer import StreamTrimmer
from .watermarks import Watermarks
from .whatsapp.kept_builds import KeptBuilds

if TYPE_CHECKING:
    import redis.asyncio

    from .agent import BrowserAgent

# In these the link is down, or not up yet: the page is asked whether it reaches its site at all.
_ASKS_SITE = frozenset({SessionState.STARTING, SessionState.SYNCING, SessionState.DISCONNECTED})


def assemble(agent: "BrowserAgent", client: "redis.asyncio.Redis", fence: Fence) -> None:
    """Give the agent all its parts, each after those that it is built on. What it needs of a later one it asks for
    when it runs."""
    settings, names = agent.settings, agent.settings.names
    agent.fence = fence
    agent.event_log = EventLog(client, names, fence)
    agent.trimmer = StreamTrimmer(client, names, fence, agent.event_log, settings.events_maxlen)
    agent.board = StatusBoard(client, names, fence, lambda: status_of(agent))

    observer = BrowserObserver(agent)
    agent.budget = StartBudget(client, settings.instance_names, settings.start_budget, settings.start_budget_window_s)
    agent.keeper = _keeper(agent, observer)
    agent.memory = watch_memory(agent, client)
    agent.evidence = _evidence(agent)

    marker = AccountMarker(settings.session_dir / "account")
    agent.session = SessionKeeper(
        settings, fence, agent.event_log, agent.keeper, agent.aside, observer.on_starting, marker.set
    )
    agent.follow = Follow(client, names, settings.follow_chats, settings.session_dir / "follow.json")
    agent.watermarks = Watermarks(client, names, settings.session_dir / "watermarks.json")
    agent.session.watermarks, agent.session.follow = agent.watermarks, agent.follow

    agent.media = _media(agent, client)
    inbox = Inbox(agent.event_log, agent.follow, agent.watermarks, ledger=agent.media.entering)
    inbox.on_told = agent.evidence.on_message_event
    agent.audit = _audit(agent, client, inbox)
    agent.event_log.on_dropped = agent.audit.missed
    agent.event_log.on_back = agent.audit.want

    agent.qr = QrShow(agent.event_log, agent.board, agent.aside, on_console=settings.qr_console == "on")
    agent.flow = _flow(agent, inbox, marker)
    agent.sends = _sends(agent, client)
    agent.session.standing = agent.sends.standing
    agent.builds = _builds(agent, client)
    agent.deadlines = Deadlines(
        agent.limits,
        agent.facts,
        agent.keep_dossier,
        versions=lambda: status_of(agent).versions,
        alert=lambda data: agent.event_log.publish(EventType.ALERT, data),
    )


def _keeper(agent: "BrowserAgent", observer: BrowserObserver) -> BrowserKeeper:
    settings = agent.settings
    browser = BrowserSettings(
        executable=settings.browser_executable,
        sandbox=settings.chromium_sandbox == "on",
        profile=settings.session_dir / "profile",
        url=settings.whatsapp_web_url,
        wa_js=settings.wa_js_path,
    )
    keeper = BrowserKeeper(browser, agent.budget, observer)
    keeper.is_busy = lambda: agent.operation is not None
    return keeper


def _evidence(agent: "BrowserAgent") -> Evidence:
    site = SiteWatch(
        lambda: agent.keeper.page,
        is_wanted=lambda: agent.state in _ASKS_SITE,
        load_error=lambda: agent.keeper.load_error,
        reaches=lambda: reaches(agent.settings.whatsapp_web_url),
    )
    return Evidence(agent.keeper, agent.memory, site, agent.settings.link_silence_s)


def _media(agent: "BrowserAgent", client: "redis.asyncio.Redis") -> MediaKeeper:
    settings = agent.settings
    return MediaKeeper(
        Ledger(client, settings.names),
        agent.event_log,
        Files(settings.session_dir / "media"),
        MediaProcess(),
        settings.session_id,
        settings.media_max_bytes,
        page=agent.page,
        is_ready=lambda: agent.flow.is_ready(),  # noqa: PLW0108  # there is none yet
    )


def _audit(agent: "BrowserAgent", client: "redis.asyncio.Redis", inbox: Inbox) -> GapAudit:
    return GapAudit(
        client,
        agent.settings.names,
        agent.event_log,
        inbox,
        agent.follow,
        agent.watermarks,
        agent.settings.backfill_on_first_login_days,
        page=agent.page,
        is_ready=lambda: agent.flow.is_ready(),  # noqa: PLW0108  # there is none yet
    )


def _flow(agent: "BrowserAgent", inbox: Inbox, marker: AccountMarker) -> SessionFlow:
    return SessionFlow(
        agent.event_log,
        agent.evidence,
        inbox,
        agent.audit,
        agent.qr,
        agent.session,
        marker,
        page=agent.page,
        operation=lambda: agent.operation,
        aside=agent.aside,
        changed=agent.on_changed,
    )


def _sends(agent: "BrowserAgent", client: "redis.asyncio.Redis") -> Sends:
    return Sends(
        client,
        agent.settings,
        agent.event_log,
        agent.fence,
        page=agent.page,
        is_ready=agent.flow.is_ready,
        aside=agent.aside,
    )


def _builds(agent: "BrowserAgent", client: "redis.asyncio.Redis") -> Builds:
    settings = agent.settings
    return Builds(
        BuildMemory(client, settings.names, agent.event_log.write),
        KeptBuilds(settings.wa_version_path),
        agent.event_log,
        pin=settings.whatsapp_web_version,
        with_fallback=settings.whatsapp_web_fallback == "on",
        page=lambda: agent.keeper.page,
        facts=agent.facts,
        reload=agent.reload_for,
    )
