"""POST /api/commands/NAME: every command of the contract, with its own arguments and result."""

import inspect
from typing import Any

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel

from web.here import Here
from whatsapp_contract.commands import COMMANDS, CommandSpec

# The worker's own; whoever else calls it would only hurry a send.
_INTERNAL = frozenset({"carry_send"})


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/commands", tags=["commands"], dependencies=[Depends(here.gate.act)])
    for name, spec in COMMANDS.items():
        if name not in _INTERNAL:
            router.post(
                f"/{name}", response_model=spec.result, description=inspect.getdoc(spec.result), operation_id=name
            )(_calling(here, spec))
    return router


def _calling(here: Here, spec: CommandSpec) -> Any:
    """An endpoint whose body is the command's arguments; FastAPI reads it off the signature."""

    async def endpoint(args: Any) -> BaseModel:
        return await here.client.call(spec.name, args.model_dump(mode="json", exclude_unset=True))

    needs_none = all(not field.is_required() for field in spec.args.model_fields.values())
    default = Body(default_factory=spec.args) if needs_none else Body()
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("args", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=spec.args)]
    )
    endpoint.__name__ = spec.name
    return endpoint
