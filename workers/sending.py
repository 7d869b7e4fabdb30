"""Carrying sends: the agent is told to try one, again and again until it has its end.

What a send came to, and when it is to be tried again, is the agent's to say. Here is only what happens while the agent
cannot be asked: it is asked again after a while, and the more sends wait, the later each asks, so that they do not
keep this Redis busy.
"""

import random
import threading
from collections.abc import Callable

from whatsapp_contract import log_context
from whatsapp_contract.client import AgentClient
from whatsapp_contract.errors import BadArguments, ContractError
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import connect
from whatsapp_contract.results import CarrySendResult
from whatsapp_contract.settings import Settings

from .send_queue import SendConsumer, SendQueue

log = get_logger(__name__)

THREADS = 4  # as many sends at once; a file that is being uploaded must not hold up the texts
FIRST_RETRY_S, RETRY_AT_MOST_S = 0.5, 15.0
ASKED_A_SECOND = 20
REDELIVERIES_AT_MOST = 5
GIVEN_UP = "internal"


class Carrier:
    """One per worker process, for all its threads. `waiting` says how many sends wait for their turn."""

    def __init__(self, client: AgentClient, waiting: Callable[[], int]) -> None:
        self._client = client
        self._waiting = waiting
        self._failures = 0  # of the agent to answer, in a row, whichever send it was asked for

    def carry(self, key: str, redeliveries: int) -> float | None:
        """After how many seconds the send is to be carried again; None when it has its end.

        Raises redis' own errors.
        """
        with log_context.bound(send=log_context.send_ref(key)):
            return self._carry(key, redeliveries)

    def _carry(self, key: str, redeliveries: int) -> float | None:
        args: dict[str, str] = {"idempotency_key": key}
        if redeliveries > REDELIVERIES_AT_MOST:
            log.error("a send is given up: workers died over it", times=redeliveries)
            args["give_up"] = GIVEN_UP
        try:
            result = self._client.call("carry_send", args)
        except BadArguments:
            log.error("something on the queue of sends is no send")
            return None
        except ContractError as error:
            return self._retry_in_s(error)
        if self._failures:
            log.info("sends are carried again")
            self._failures = 0
        if not isinstance(result, CarrySendResult) or result.done:
            return None
        return result.retry_in_s or 0.0

    def _retry_in_s(self, error: ContractError) -> float:
        self._failures += 1
        if self._failures == 1:
            log.warning("sends wait: the agent cannot be asked", code=error.code, error=str(error))
        wait_s = min(RETRY_AT_MOST_S, FIRST_RETRY_S * 2 ** min(self._failures - 1, 10))
        return float(wait_s * random.uniform(0.8, 1.2) + self._waiting() / ASKED_A_SECOND)  # noqa: S311  # no secret


def create_send_consumer(settings: Settings, stop_flag: threading.Event) -> SendConsumer:
    """The consumer of the session's sends."""
    client = connect(settings.redis_url.get_secret_value())
    queue = SendQueue(client, settings.names, settings.instance_id)
    queue.carries_with(Carrier(AgentClient(client, settings.session_id), queue.scheduled_count).carry)
    return SendConsumer(queue, stop_flag, workers=THREADS, max_delay=1.0)
