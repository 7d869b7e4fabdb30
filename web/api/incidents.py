"""/api/incidents: what was wrong, what was done about it, what cured it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from web.here import Here
from web.problems import Problem
from whatsapp_contract.arguments import INCIDENT_ID_PATTERN
from whatsapp_contract.incidents import INCIDENTS_KEPT, Incident
from whatsapp_contract.kept_records import read_kept


def routes(here: Here) -> APIRouter:
    router = APIRouter(prefix="/incidents", tags=["incidents"], dependencies=[Depends(here.gate.view)])
    redis, names = here.client.redis, here.client.names

    @router.get("")
    async def incidents(limit: Annotated[int, Query(ge=1, le=INCIDENTS_KEPT)] = 50) -> list[Incident]:
        """The latest, newest first, without those that cannot be read."""
        ids: Any = await redis.zrevrange(names.incidents_order, 0, limit - 1)
        kept: Any = await redis.hmget(names.incidents, ids) if ids else []
        found = (read_kept(Incident, one) for one in kept)
        return [one for one in found if one is not None]

    @router.get("/{incident_id}")
    async def incident(incident_id: Annotated[str, Path(pattern=INCIDENT_ID_PATTERN)]) -> Incident:
        """One, with its rungs."""
        kept: Any = await redis.hget(names.incidents, incident_id)
        if kept is None:
            raise Problem(404, "not_found", f"no incident {incident_id} among the last {INCIDENTS_KEPT}")
        found = read_kept(Incident, kept)
        if found is None:
            raise Problem(404, "not_found", f"what is kept of incident {incident_id} cannot be read")
        return found

    return router
