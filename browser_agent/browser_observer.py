"""What the keeper of the browser tells, and asks, handed on to the agent's parts that it concerns."""

import time
from typing import TYPE_CHECKING

from whatsapp_contract.events import AlertData, EventType, RestartedData
from whatsapp_contract.health import SITE_UNREACHABLE
from whatsapp_contract.logs import get_logger
from whatsapp_contract.states import SessionState

from .browser_keeper import Observer
from .whatsapp.models import AcksSeen, PageEvent

if TYPE_CHECKING:
    from .agent import BrowserAgent
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)


class BrowserObserver(Observer):
    """One per agent, whose parts are there before anything is told."""

    def __init__(self, agent: "BrowserAgent") -> None:
        self._agent = agent

    async def prepare(self, executable_version: str) -> None:
        agent = self._agent
        await agent.session.prepare(executable_version)
        await agent.follow.load()
        await agent.watermarks.load()
        await agent.sends.standing.load()
        await agent.builds.prepare()
        # A site that cannot be reached is that until it was loaded, through however many browsers.
        if agent.state is SessionState.STARTING and agent.flow.reason != SITE_UNREACHABLE:
            agent.flow.enter(SessionState.STARTING, None)

    def local_storage(self) -> str | None:
        return self._agent.session.local_storage()

    def on_local_storage_given(self) -> None:
        self._agent.session.on_local_storage_given()

    def on_starting(self, reason: str) -> None:
        self._agent.session.on_browser_starting()
        self._agent.flow.enter(SessionState.STARTING, reason)

    def on_page(self, page: "WhatsAppPage") -> None:
        page.on_event = self._on_page_event
        self._agent.builds.on_page(page)
        page.on_missed = self._agent.audit.missed
        self._agent.flow.on_page()

    def _on_page_event(self, event: PageEvent) -> None:
        self._agent.builds.on_page_event(event)
        if isinstance(event, AcksSeen):
            self._agent.sends.on_acks(event)
        else:
            self._agent.flow.on_page_event(event)

    def on_started(self, cause: str | None, starts: int) -> None:
        agent = self._agent
        if cause is not None:
            incident, agent.incident = agent.incident, None
            data = RestartedData(what="browser", cause=cause, starts=starts, incident=incident)
            agent.event_log.publish(EventType.RESTARTED, data)
        agent.board.poke()

    def on_held(self, until: float, *, is_news: bool) -> None:
        agent, settings = self._agent, self._agent.settings
        agent.board.poke()
        if not is_news:
            return
        message = (
            f"The browser was started {settings.start_budget} times within "
            f"{settings.start_budget_window_s:g} s and is left alone for {until - time.time():.0f} s. "
            "Look at the log for the cause; restart_browser starts it at once."
        )
        log.error("the start budget is spent", held_for_s=round(until - time.time()))
        agent.event_log.publish(EventType.ALERT, AlertData(code="start_budget_spent", message=message))

    def on_failure(self, reason: str, error: str) -> None:
        log.error("the browser was lost or could not be started", reason=reason, error=error)
