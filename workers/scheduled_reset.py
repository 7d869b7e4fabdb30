"""A new connection to WhatsApp, by the clock."""

from whatsapp_contract import counters
from whatsapp_contract.client import AgentClient
from whatsapp_contract.errors import ContractError, NotReady, ResetUnproven
from whatsapp_contract.health import Verdict
from whatsapp_contract.logs import get_logger

log = get_logger(__name__)


def reset_by_the_clock(client: AgentClient) -> str:
    """How it ended, as it is counted. None is made of a session that is not ready."""
    try:
        if client.check().verdict is Verdict.HEALTHY:
            client.call("reset", {"cause": "scheduled"})
            return counters.PROVEN
    except ResetUnproven as error:
        log.warning("the scheduled reset is unproven", error=str(error))
        return counters.UNPROVEN
    except NotReady:
        pass  # it ceased to be since
    except ContractError as error:
        log.warning("no scheduled reset", code=error.code, error=str(error))
        return counters.FAILED
    log.info("no scheduled reset: the session is not ready")
    return counters.NOT_READY
