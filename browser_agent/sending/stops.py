"""What stops all sending until a person has it go on: WhatsApp's own word, refusals one after the other, a person."""

import asyncio

from browser_agent.event_log import EventLog
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.logs import get_logger

from .outbox import PAUSED, Outbox
from .outcome import Verdict

log = get_logger(__name__)

STOPPED_ALERTS = {
    Verdict.STOP_RATE: "WhatsApp refuses messages of this account: it writes too much, or to strangers.",
    Verdict.STOP_BLOCKED: "WhatsApp has blocked this account.",
}
_ADVICE = (
    " Nothing is sent until `resume_sends`. Look at the account on its phone, and wait for some hours; then send "
    "slower (SEND_RATE, SEND_RATE_STRANGERS)."
)


class Stops:
    """One per agent."""

    def __init__(self, outbox: Outbox, event_log: EventLog) -> None:
        self._outbox = outbox
        self._event_log = event_log
        self._stopping = asyncio.Lock()
        self._refused: set[str] = set()  # sends that were refused since one went out

    async def stop(self, verdict: Verdict) -> None:
        """Stop all sending, and have a person look; once, also where a person has paused it."""
        reason = verdict.value
        async with self._stopping:
            stopped = await self._outbox.stopped()
            if stopped is not None and not stopped.startswith(PAUSED):
                return
            log.error("all sending is stopped", reason=reason)
            alert = AlertData(code="sending_stopped", message=STOPPED_ALERTS[verdict] + _ADVICE)
            self._event_log.publish(EventType.ALERT, alert, also=[self._outbox.stopping(reason)])
            await self._outbox.stop(reason)

    async def pause(self, cause: str) -> None:
        """A person wants nothing to be sent. What WhatsApp has said stays."""
        async with self._stopping:
            stopped = await self._outbox.stopped()
            if stopped is None or stopped.startswith(PAUSED):
                await self._outbox.stop(PAUSED + cause)

    def refused(self, key: str) -> int:
        """The server refused this send and the page does not say why; answers how many were since one went out."""
        self._refused.add(key)
        return len(self._refused)

    def forget_refusals(self) -> None:
        """One went out, or all has been stopped for them."""
        self._refused.clear()
