"""SessionFlow: moves the session's state by what the page tells, and tells the backend of it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from whatsapp_contract.errors import ContractError
from whatsapp_contract.events import (
    AuthenticatedData,
    AuthFailureData,
    DisconnectedData,
    EventType,
    Person,
    ReadyData,
    StateChangedData,
)
from whatsapp_contract.health import COMING_UP, LEFT_TO_A_PERSON, RETRIED_BY_AGENT
from whatsapp_contract.logs import get_logger
from whatsapp_contract.states import SessionState, check_move

from .account_marker import AccountMarker
from .event_log import EventLog
from .evidence import Evidence
from .gap_audit import GapAudit
from .inbox import Inbox
from .message_data import person
from .qr_show import QrShow
from .session_keeper import SessionKeeper
from .stream_state import next_state
from .whatsapp.models import (
    DocumentStarted,
    HearsAll,
    LoggedOut,
    MessageSeen,
    PageEvent,
    QrIdle,
    QrShown,
    StreamChanged,
    StreamSnapshot,
)

if TYPE_CHECKING:
    from .whatsapp.page import WhatsAppPage

log = get_logger(__name__)

_BEFORE_A_SCAN = frozenset({SessionState.STARTING, SessionState.AWAITING_SCAN, SessionState.LOGGED_OUT})
LINKING_BY_PHONE = "pairing_code"  # the reason of AWAITING_SCAN while no QR code can be scanned
_MAY_SHOW_A_CODE = _BEFORE_A_SCAN | {SessionState.BLOCKED}
# Of these nobody can say that it is still coming up: it is there, or a person's. A link that is lost is neither.
_SETTLED = frozenset(SessionState) - COMING_UP - {SessionState.DISCONNECTED}
_NO_TRY = RETRIED_BY_AGENT | LEFT_TO_A_PERSON  # reasons for which no page is coming up at all
_LOST_THE_ACCOUNT = frozenset({SessionState.LOGGED_OUT, SessionState.CONFLICT, SessionState.BLOCKED})

Aside = Callable[[Coroutine[Any, Any, None]], None]


class SessionFlow:
    """One per agent. `state`, `reason`, `since` and `coming_up_since` are read by whoever wants; only `enter` changes
    them. The latter two are loop times: of the state, and of the try to get ready, None where there is none. Time in
    which it was disconnected is left out of a try.

    `page` gives the page or raises BrowserGone; `operation` names what is under way; `aside` runs a short task;
    `changed` is called after every change.
    """

    def __init__(
        self,
        event_log: EventLog,
        evidence: Evidence,
        inbox: Inbox,
        audit: GapAudit,
        qr: QrShow,
        session: SessionKeeper,
        marker: AccountMarker,
        *,
        page: Callable[[], "WhatsAppPage"],
        operation: Callable[[], str | None],
        aside: Aside,
        changed: Callable[[], None],
    ) -> None:
        self.state = SessionState.STARTING
        self.reason: str | None = None
        self.since = asyncio.get_running_loop().time()
        self.coming_up_since: float | None = self.since
        self._event_log = event_log
        self._evidence = evidence
        self._inbox = inbox
        self._audit = audit
        self._qr = qr
        self._session = session
        self._marker = marker
        self._page = page
        self._operation = operation
        self._aside = aside
        self._changed = changed
        self._was_ready = False  # in this life of the agent
        self._told_authenticated = False  # in this life of the browser
        self._scan_was_needed = False
        self._account: Person | None = None
        self._qr_too_early: str | None = None  # shown before the state has followed

    def enter(self, state: SessionState, reason: str | None = None, *, anew: bool = True) -> None:
        """The one place where the state changes. Raises IllegalMove for a move that is not in the table.

        To enter STARTING is a new try with a time of its own; not so `anew` false, which is one that nobody made.
        """
        now = asyncio.get_running_loop().time()
        is_new_try = anew and state is SessionState.STARTING and reason not in _NO_TRY
        if state in _SETTLED:
            self.coming_up_since = None
        elif is_new_try or (self.coming_up_since is None and state in COMING_UP):
            self.coming_up_since = now
        elif self.coming_up_since is not None and self._ends_an_outage(state):
            self.coming_up_since += now - self.since
        if state is self.state:
            if is_new_try:
                self.since = now
            if reason != self.reason:
                self.reason = reason
                self._changed()
            return
        previous = self.state
        check_move(previous, state)
        self.state, self.reason, self.since = state, reason, now
        log.info("state changed", previous=previous.value, state=state.value, reason=reason)
        self._event_log.publish(
            EventType.STATE_CHANGED, StateChangedData(previous=previous, state=state, reason=reason)
        )
        if previous is SessionState.AWAITING_SCAN:
            self._qr.take_down()
        if previous is SessionState.READY:
            self._audit.interrupted()
        if previous is SessionState.READY or state in _LOST_THE_ACCOUNT:
            self._event_log.publish(
                EventType.DISCONNECTED, DisconnectedData(reason=reason or state.value, state=state)
            )
        if state is SessionState.LOGGED_OUT:
            self._on_account_lost(told=self._was_ready)
            if self._qr_too_early is not None:
                self._aside(self._show_early_qr(self._qr_too_early))
        elif state is SessionState.READY:
            self._on_ready()
        self._changed()

    def _ends_an_outage(self, state: SessionState) -> bool:
        return self.state is SessionState.DISCONNECTED and state is not SessionState.DISCONNECTED

    def is_ready(self) -> bool:
        """Whether messages flow."""
        return self.state is SessionState.READY

    def on_stream(self, stream: StreamSnapshot) -> None:
        """The page's view of its connection, told or asked for."""
        state, reason = next_state(stream, self.state)
        if state is SessionState.READY and self._evidence.link_is_dead():
            state, reason = SessionState.DISCONNECTED, "link_silent"  # whatever the page believes
        if self.state is SessionState.STOPPING or (state is self.state and reason is None):
            return
        if state is SessionState.DISCONNECTED and self._operation() is not None:
            reason = self._operation()
        if stream.authenticated and not self._told_authenticated:
            self._told_authenticated = True
            self._event_log.publish(EventType.AUTHENTICATED, AuthenticatedData(restored=not self._scan_was_needed))
        self.enter(state, reason)

    def _on_ready(self) -> None:
        self._was_ready = True
        self._marker.set()
        self._session.on_ready()
        self._audit.on_ready()
        self._aside(self._tell_ready())

    async def _tell_ready(self) -> None:
        """With the account, which is asked for once; not any more when ready was left before the page answered."""
        since = self.since
        if self._account is None:
            with contextlib.suppress(ContractError):
                self._account = person(await self._page().account())
        if self.is_ready() and self.since == since:
            self._event_log.publish(EventType.READY, ReadyData(account=self._account))

    def _on_account_lost(self, *, told: bool) -> None:
        """Unlinked. Where no `disconnected` tells of it, because ready was not left for it, `auth_failure` does."""
        if self._marker.is_set and not told:
            self._event_log.publish(EventType.AUTH_FAILURE, AuthFailureData(reason="the kept profile is unpaired"))
        self._marker.clear()
        self._account = None
        self._audit.on_account_lost()
        self._session.on_account_lost()
        self._was_ready = self._told_authenticated = False

    def on_page(self) -> None:
        """A new browser's page; nothing was told of it yet."""
        self._told_authenticated = self._scan_was_needed = False

    # -- what the page tells -----------------------------------------------------------------------------------------

    def on_page_event(self, event: PageEvent) -> None:
        """What the page tells by itself."""
        match event:
            case MessageSeen():
                self._inbox.take(event.message)
            case HearsAll():
                self._audit.missed()
            case StreamChanged():
                self.on_stream(event.stream)
            case QrShown():
                self._on_qr(event.payload)
            case QrIdle():
                self._aside(self.refresh_qr())
            case LoggedOut():
                self._on_logged_out()
            case DocumentStarted():
                self._on_document()

    def _on_document(self) -> None:
        self._audit.interrupted()
        self._qr.on_document()
        self._qr_too_early = None
        # A page that loads itself anew must not do so for ever.
        anew = self._operation() is not None or self.reason in _NO_TRY
        if self.state is SessionState.STARTING:
            self.enter(SessionState.STARTING, None, anew=anew)
        elif self.state is SessionState.LOGGED_OUT and self._operation() == "reload":
            # Nobody has anything to scan here; a page that shows no code anew has the time of a start to do so.
            self.enter(SessionState.STARTING, "reload")
        elif self.state not in (SessionState.LOGGED_OUT, SessionState.STOPPING):
            self.enter(SessionState.STARTING, self._operation() or "page_reloaded", anew=anew)

    def _on_logged_out(self) -> None:
        self._session.on_account_lost()
        if self.state not in (*_BEFORE_A_SCAN, SessionState.STOPPING):
            self.enter(SessionState.LOGGED_OUT, "logged_out")

    def _on_qr(self, payload: str) -> None:
        self._session.on_account_lost()  # whatever the state says: a page that is paired shows no code
        if self.state not in _MAY_SHOW_A_CODE:
            self._qr_too_early = payload
            return
        self._qr_too_early = None
        if self.state in (SessionState.STARTING, SessionState.BLOCKED):
            self._on_account_lost(told=False)
        self._scan_was_needed = True
        self._qr.show(payload)
        self.enter(SessionState.AWAITING_SCAN)

    async def _show_early_qr(self, payload: str) -> None:
        self._on_qr(payload)

    def on_linking_by_phone(self, for_s: float) -> None:
        """The page gives up its QR code for a phone number's, for so long at most. Another QR code ends it."""
        self._qr.stand_back(for_s)
        self.enter(SessionState.AWAITING_SCAN, LINKING_BY_PHONE)

    def on_linking_failed(self) -> None:
        """There is no code for a phone number. Where the page has shown no QR code since, and does not soon, it is
        asked for one as for any that is overdue."""
        if (self.state, self.reason) == (SessionState.AWAITING_SCAN, LINKING_BY_PHONE):
            self._qr.come_back()
            self.enter(SessionState.AWAITING_SCAN)

    async def refresh_qr(self) -> None:
        """Ask the page for a new code; one that does not answer shows none."""
        from .whatsapp.linking import PageLinking

        with contextlib.suppress(ContractError):
            await PageLinking(self._page()).refresh_qr()
