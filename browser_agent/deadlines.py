"""Deadlines for states: one that outlives its own is told in an `alert`, with a dossier of what it is stuck in.

Telling is all that is done here. What may cure it is the ladder's, which sees the same deadline in the verdict.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from whatsapp_contract.events import AlertData
from whatsapp_contract.health import Facts, Limits, begins_again, is_overdue, stuck_fact, stuck_in
from whatsapp_contract.logs import get_logger
from whatsapp_contract.states import SessionState

log = get_logger(__name__)

AGAIN_AFTER_S = 3600.0
LOOK_EVERY_S = 1.0

# A session that got here is stuck no more; what follows is another time.
_CAME_THROUGH = frozenset({SessionState.READY, SessionState.AWAITING_SCAN, SessionState.LOGGED_OUT})
_ADVICE = {
    SessionState.STARTING: "The page is loaded anew, then the browser started anew.",
    SessionState.SYNCING: "The page is loaded anew, then the browser started anew. Look at the phone: is it online?",
    SessionState.DISCONNECTED: "The connection is tried again. Look at the network, and at the phone.",
    SessionState.CONFLICT: "Close the other WhatsApp Web, or unlink it on the phone.",
}


class Deadlines:
    """One per agent. `keep_dossier` is given the code and the stuck fact and answers the dossier's path; `versions`
    says in words what the session runs on."""

    def __init__(
        self,
        limits: Limits,
        facts: Callable[[], Facts],
        keep_dossier: Callable[[str, str], Awaitable[Path | None]],
        versions: Callable[[], str],
        alert: Callable[[AlertData], None],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._limits = limits
        self._facts = facts
        self._keep_dossier = keep_dossier
        self._versions = versions
        self._alert = alert
        self._look_every_s = look_every_s
        self._told: dict[SessionState, datetime] = {}  # when each was told since the session last came through

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            await self.look(self._facts())

    async def look(self, facts: Facts) -> None:
        """Tell of a state past its deadline: once, and hourly until the session has come through to a better one."""
        if facts.state in _CAME_THROUGH:
            self._told.clear()
        told_at, now = self._told.get(facts.state), facts.observed_at
        if not is_overdue(facts, self._limits, now):
            return
        # A clock that was set back must not silence it for longer.
        if told_at is not None and abs((now - told_at).total_seconds()) < AGAIN_AFTER_S:
            return
        self._told[facts.state] = now
        await self._tell(facts, now)

    async def _tell(self, facts: Facts, now: datetime) -> None:
        code, fact = stuck_in(facts.state), stuck_fact(facts, self._limits, now)
        # Of a page that loads itself anew it is the whole that is too long.
        since = facts.coming_up_since if begins_again(facts, self._limits, now) else facts.since
        in_state_s = (now - (since or facts.since)).total_seconds()
        log.error("a state has outlived its deadline", state=facts.state.value, for_s=round(in_state_s), fact=fact)
        path = await self._keep_dossier(code, fact)
        stuck = f"{facts.state.value.capitalize()} for {in_state_s:.0f} s: {fact}."
        message = f"{stuck} {_ADVICE[facts.state]} ({self._versions()})"
        self._alert(AlertData(code=code, message=message, dossier=str(path) if path else None))
