"""What a person is told of the ladder: its alerts, and their words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whatsapp_contract import event_script
from whatsapp_contract.events import AlertData, EventType
from whatsapp_contract.health import SUPERVISOR_SILENT
from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames

from . import recovery
from .memory import Decision, Limits, Memory

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)


@dataclass(frozen=True)
class Alert:
    """`incident` is the id of the one it belongs to."""

    code: str
    message: str
    incident: str | None = None

    def publish(self, step: "redis.client.Pipeline", names: SessionNames) -> None:
        """As an event of the session, whoever holds it. Comes last in the step, see `told`."""
        data = AlertData(code=self.code, message=self.message, incident=self.incident)
        event_script.publish(step, names, EventType.ALERT.value, data)

    def told(self, answers: Any) -> None:
        """The step was carried out, with these answers."""
        about = {"code": self.code, "message": self.message, "event_id": str(answers[-1][0])}
        log.error("a person should look", **about, incident=self.incident)


def of_decision(decision: Decision, incident: str | None, limits: Limits) -> Alert | None:
    """What a decision has to tell, if anything."""
    return None if decision.alert is None else Alert(decision.alert, _message(decision, limits), incident)


def browser_ends_often(memory: Memory, limits: Limits) -> Alert:
    """Each end by itself was made good within seconds, and is no reason to do anything."""
    return Alert(
        "browser_ends_often",
        f"The browser, or its page, ended by itself {len(memory.browser_ends)} times within "
        f"{limits.restarts_window_s / 3600:g} hours. The agent brought it back each time. Look at the memory and the "
        "disk of this machine, and at the log.",
    )


def _message(decision: Decision, limits: Limits) -> str:
    if decision.alert == recovery.CONFLICT_LEFT:
        return (
            f"Another client holds this session, and it was taken over {len(decision.memory.takeovers)} times "
            f"within an hour (TAKEOVER_LIMIT is {limits.most_takeovers}). It is left to it now: close the "
            "other client, then `whatsapp-container reset`."
        )
    if decision.alert == recovery.ENDS_OFTEN:
        return (
            f"The agent ended by itself and was started again {len(decision.memory.others_starts)} times within "
            f"{limits.restarts_window_s / 3600:g} hours. The log says of what it ends."
        )
    if decision.alert == SUPERVISOR_SILENT:
        return (
            "Nobody listens for commands, and supervisord does not say whether the agent runs: it cannot be started "
            "anew from here. Restart the container, unless supervisord was stopped on purpose."
        )
    attempt = decision.memory.attempt
    tried = ", ".join(rung.value for rung in attempt.taken[:-1]) if attempt else ""
    lasts_s = attempt.lasts_s if attempt else 0.0
    return (
        f"The session is not well ({decision.cause}), and {tried or 'what was tried before'} did not cure it for "
        f"long. Everything is left alone for {lasts_s:g} s, or until somebody restarts it "
        "(`whatsapp-container restart`); `whatsapp-container incidents` says what was done."
    )
