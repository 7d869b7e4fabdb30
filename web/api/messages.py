"""/api/messages: sends, as jobs, by the backend's own idempotency keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from web.here import Here
from web.problems import Problem
from whatsapp_contract.arguments import (
    IDEMPOTENCY_KEY_PATTERN,
    SendMediaArgs,
    SendReactionArgs,
    SendReplyArgs,
    SendTextArgs,
)
from whatsapp_contract.kept_records import read_kept
from whatsapp_contract.results import SendResult
from whatsapp_contract.send_record import SendRecord

Key = Annotated[str, Path(pattern=IDEMPOTENCY_KEY_PATTERN, max_length=128)]


class OpenSends(BaseModel):
    """Sends that have no end yet, the oldest first; one that cannot be read is in `total` alone. `stopped` says why
    nothing is sent at present."""

    stopped: str | None
    total: int
    sends: list[SendResult]


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/messages", tags=["messages"])
    act = [Depends(here.gate.act)]

    async def send(command: str, args: BaseModel) -> SendResult:
        result = await here.client.call(command, args.model_dump(mode="json", exclude_unset=True))
        assert isinstance(result, SendResult)
        return result

    @router.post("/text", status_code=202, dependencies=act)
    async def send_text(args: SendTextArgs) -> SendResult:
        """Accept a text. The same key again answers how its send stands."""
        return await send("send_text", args)

    @router.post("/media", status_code=202, dependencies=act)
    async def send_media(args: SendMediaArgs) -> SendResult:
        """Accept a file, named by its address; never its bytes."""
        return await send("send_media", args)

    @router.post("/reply", status_code=202, dependencies=act)
    async def send_reply(args: SendReplyArgs) -> SendResult:
        """Accept a text that quotes a message."""
        return await send("send_reply", args)

    @router.post("/reaction", status_code=202, dependencies=act)
    async def send_reaction(args: SendReactionArgs) -> SendResult:
        """Accept an emoji for a message."""
        return await send("send_reaction", args)

    @router.get("", dependencies=[Depends(here.gate.view)])
    async def open_sends(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> OpenSends:
        """What is still to be sent; read off Redis, whether the agent lives or not."""
        redis, names = here.client.redis, here.client.names
        async with redis.pipeline(transaction=False) as asked:
            asked.zrange(names.sends_open, 0, limit - 1)
            asked.zcard(names.sends_open)
            asked.hget(names.sending, "stopped")
            keys, total, stopped = await asked.execute()
        kept: Any = await redis.mget([names.send(key) for key in keys]) if keys else []
        found = (read_kept(SendRecord, one) for one in kept)
        sends = [record.result() for record in found if record is not None]
        return OpenSends(stopped=stopped, total=total, sends=sends)

    @router.get("/{idempotency_key}", dependencies=[Depends(here.gate.view)])
    async def send_status(idempotency_key: Key) -> SendResult:
        """How a send stands; it is known for a week after its end."""
        kept: Any = await here.client.redis.get(here.client.names.send(idempotency_key))
        if kept is None:
            raise Problem(404, "not_found", "no send of this key is known")
        record = read_kept(SendRecord, kept)
        if record is None:
            raise Problem(404, "not_found", "what is kept of this key's send cannot be read")
        return record.result()

    return router
