"""GET /api/status, /api/qr: how the session stands, and the code that is to be scanned."""

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from web.here import Here
from web.problems import Problem
from web.reading import StatusAnswer
from whatsapp_contract import qr
from whatsapp_contract.events import QrOnShow


def routes(here: Here) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/status", response_model=StatusAnswer, dependencies=[Depends(here.gate.view)])
    async def status() -> Response:
        """State, verdict, facts with their times, versions. Answers while agent or Redis are down, too."""
        # As a response of our own: validating what we have just made would take longer than all the rest.
        return Response((await here.reader.described()).model_dump_json(), media_type="application/json")

    @router.get("/qr", response_model=QrOnShow, dependencies=[Depends(here.gate.act)])
    async def qr_payload() -> Response:
        """What the QR code encodes; whoever scans it links his phone's account."""
        return JSONResponse((await on_show(here)).model_dump(mode="json"))

    @router.get(
        "/qr.png",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
        dependencies=[Depends(here.gate.act)],
    )
    async def qr_png() -> Response:
        """The QR code as an image."""
        return Response(qr.as_png((await on_show(here)).payload), media_type="image/png")

    return router


async def on_show(here: Here) -> QrOnShow:
    """Raises Problem where there is none."""
    shown = await here.reader.qr()
    if shown is None:
        raise Problem(404, "not_found", "no QR code is on show")
    return shown
