"""The handlers of messages out."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from whatsapp_contract.arguments import CarrySendArgs, CauseArgs, SendKeyArgs, SuppressArgs
from whatsapp_contract.errors import NotReady
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.results import CarrySendResult, SendResult, SendsStateResult, SuppressResult

if TYPE_CHECKING:
    from browser_agent.agent import BrowserAgent
    from whatsapp_contract.send_record import SendArgs

_T = TypeVar("_T")


async def accept(agent: "BrowserAgent", args: "SendArgs") -> SendResult:
    return await _unless_away(agent.sends.accept(args))


async def send_status(agent: "BrowserAgent", args: SendKeyArgs) -> SendResult:
    return await _unless_away(agent.sends.status(args.idempotency_key))


async def carry_send(agent: "BrowserAgent", args: CarrySendArgs) -> CarrySendResult:
    carried = await _unless_away(agent.sends.carry(args.idempotency_key, args.give_up))
    return CarrySendResult(done=carried.retry_in_s is None, retry_in_s=carried.retry_in_s)


async def suppress(agent: "BrowserAgent", args: SuppressArgs) -> SuppressResult:
    return SuppressResult(suppressed=await _unless_away(agent.sends.suppress(args.add, args.remove)))


async def pause_sends(agent: "BrowserAgent", args: CauseArgs) -> SendsStateResult:
    return await _unless_away(agent.sends.pause(args.cause))


async def resume_sends(agent: "BrowserAgent", _args: CauseArgs) -> SendsStateResult:
    return await _unless_away(agent.sends.resume())


HANDLERS: dict[str, Callable[["BrowserAgent", Any], Awaitable[BaseModel]]] = {
    **dict.fromkeys(("send_text", "send_media", "send_reply", "send_reaction"), accept),
    **{handler.__name__: handler for handler in (send_status, carry_send, suppress, pause_sends, resume_sends)},
}


async def _unless_away(work: Awaitable[_T]) -> _T:
    """Raises NotReady where Redis is away: the command came through it, and the answer will not."""
    try:
        return await work
    except Exception as error:
        if not is_outage(error):
            raise
        raise NotReady("Redis does not answer") from error
