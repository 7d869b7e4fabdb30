"""POST /api/agent/restart: a task for the worker of the container that holds the session, which alone may restart."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel

from web.here import Here
from web.problems import Problem
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
        """Stop and start the agent, or kill it where it does not answer."""
        status = await here.client.status()
        if status is None:
            raise Problem(503, "agent_unreachable", "no agent has ever run for this session", retryable=True)
        # Imported when somebody asks: Huey is nothing that this process needs else.
        from workers.restart_request import restart_request

        names = InstanceNames(here.settings.session_id, status.instance)
        await here.client.redis.lpush(*restart_request(names, args.cause))
        return RestartAsked(instance=status.instance, epoch=status.epoch)

    return router
