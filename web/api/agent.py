"""POST /api/agent/restart: a task for the worker of the container that holds the session, which alone may restart."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel

from web.here import Here
from web.problems import Problem, redis_away
from web.reading import REDIS_AWAY
from whatsapp_contract.arguments import CauseArgs
from whatsapp_contract.names import InstanceNames


class RestartAsked(BaseModel):
    """The worker of `instance` was asked; a `restarted` event tells when a new agent is there."""

    instance: str
    epoch: int  # of the agent that is to end


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/agent", tags=["agent"])

    @router.post("/restart", status_code=202, dependencies=[Depends(here.gate.act)])
    async def restart(args: Annotated[CauseArgs, Body(default_factory=CauseArgs)]) -> RestartAsked:
        """Stop and start the agent, or kill it where it does not answer; 409 `busy` while one is asked for already."""
        status, trouble = await here.reader.status()
        if trouble == REDIS_AWAY:
            raise redis_away()
        if trouble is not None:
            raise Problem(
                503, trouble, "what the agent says of itself cannot be read: which worker to ask is not known"
            )
        if status is None:
            raise Problem(503, "agent_unreachable", "no agent has ever run for this session", retryable=True)
        # Imported when somebody asks: Huey is nothing that this process needs else.
        from workers.restart_request import restart_request

        names = InstanceNames(here.settings.session_id, status.instance)
        asked: Any = here.client.redis.eval(*restart_request(names, args.cause, epoch=status.epoch))
        if not await asked:
            raise Problem(409, "busy", "a restart of this agent is asked for already", retryable=True)
        return RestartAsked(instance=status.instance, epoch=status.epoch)

    return router
