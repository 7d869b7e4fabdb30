"""/api/media: the ledger of photos and files."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query
from pydantic import BaseModel

from web.here import Here
from whatsapp_contract.arguments import SIGNED_FOR_AT_MOST_S, MediaRetryArgs
from whatsapp_contract.kept_records import read_kept
from whatsapp_contract.media_record import MediaRecord
from whatsapp_contract.results import MediaRetryResult, MediaUrlResult


class MediaFiles(BaseModel):
    """`files` are the newest of the state that was asked for, newest first, without those that cannot be read; the
    counts are of all."""

    due: int
    failed: int
    stored: int  # in the last 30 days
    files: list[MediaRecord]


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/media", tags=["media"])

    @router.get("", dependencies=[Depends(here.gate.view)])
    async def files(
        state: Literal["due", "failed", "stored"] = "failed", limit: Annotated[int, Query(ge=1, le=500)] = 50
    ) -> MediaFiles:
        """What is still to be stored, what was given up and why, or what was stored lately."""
        redis, names = here.client.redis, here.client.names
        of_state = {"due": names.media_due, "failed": names.media_failed, "stored": names.media_stored}
        async with redis.pipeline(transaction=False) as asked:
            for name in of_state.values():
                asked.zcard(name)
            asked.zrevrange(of_state[state], 0, limit - 1)
            due, failed, stored, keys = await asked.execute()
        kept: Any = await redis.hmget(names.media, keys) if keys else []
        found = (read_kept(MediaRecord, one) for one in kept)
        readable = [one for one in found if one is not None]
        return MediaFiles(due=due, failed=failed, stored=stored, files=readable)

    @router.post("/retry", dependencies=[Depends(here.gate.act)])
    async def retry(args: Annotated[MediaRetryArgs, Body(default_factory=MediaRetryArgs)]) -> MediaRetryResult:
        """Try files again that were given up; all of them without keys."""
        result = await here.client.call("media_retry", args.model_dump(mode="json", exclude_unset=True))
        assert isinstance(result, MediaRetryResult)
        return result

    @router.get("/link", dependencies=[Depends(here.gate.view)])
    async def link(
        key: Annotated[str, Query(min_length=1, max_length=512)],
        expires_in_s: Annotated[int, Query(ge=1, le=SIGNED_FOR_AT_MOST_S)] = 3600,
    ) -> MediaUrlResult:
        """A link to a stored file, by its message's key, that needs no credentials."""
        result = await here.client.call("media_url", {"key": key, "expires_in_s": expires_in_s})
        assert isinstance(result, MediaUrlResult)
        return result

    return router
