"""The routes: the page, its WebSocket, its media, its hooks, and the control API."""

from __future__ import annotations

import json
import secrets
from io import BytesIO
from pathlib import Path

import qrcode
from qrcode.constants import ERROR_CORRECT_L
from qrcode.image.pure import PyPNGImage
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from tests.whatsapp_web.server.connection import Connection
from tests.whatsapp_web.server.control import control_routes
from tests.whatsapp_web.server.media import NOT_FOUND, OK
from tests.whatsapp_web.server.session import Session
from tests.whatsapp_web.server.site import Site

PAGE = Path(__file__).parent.parent / "page"
UNAVAILABLE = 503
# Any mask is valid; choosing the best of eight would take most of the time.
QR_MASK = 3


def create_app(site: Site) -> Starlette:
    """The stand-in as an ASGI application."""
    routes = Routes(site)
    return Starlette(
        routes=[
            Route("/", routes.page),
            WebSocketRoute("/ws/chat", routes.chat),
            Route("/qr.png", routes.qr_image),
            Route("/media", routes.upload, methods=["POST"]),
            Route("/media/{key}", routes.download),
            Route("/hooks/events", routes.hook_events),
            Route("/hooks/answer", routes.hook_answer, methods=["POST"]),
            *control_routes(site),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
    )


class Routes:
    """One method per address of the site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, request: Request) -> Response:
        """The page with the options of now and a policy of the real one's shape."""
        nonce = secrets.token_urlsafe(12)
        options = json.dumps(self._site.options.as_json()).replace("<", "\\u003c")
        revision = self._site.options.build.split(".")[2]
        html = (PAGE / "index.html").read_text()
        policy = (
            f"default-src 'self' data: blob:; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; "
            f"style-src 'self' 'unsafe-inline'; connect-src 'self' ws://{request.url.netloc} data: blob:"
        )
        return HTMLResponse(
            html.replace("__NONCE__", nonce).replace("__OPTIONS__", options).replace("__REVISION__", revision),
            headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
        )

    async def chat(self, websocket: WebSocket) -> None:
        session = Session(self._site, Connection(websocket))
        await self._site.network.serve(websocket, session)

    async def qr_image(self, request: Request) -> Response:
        """The picture of a code; asking for it is how the phone knows what is on show."""
        code = request.query_params["code"]
        self._site.saw_code(code)
        image = await run_in_threadpool(draw_qr, code)
        return Response(image, media_type="image/png", headers={"Cache-Control": "no-store"})

    async def upload(self, request: Request) -> Response:
        if self._site.network.down:
            return Response(status_code=UNAVAILABLE)
        if (status := self._site.media.uploads.next_status()) != OK:
            return Response(status_code=status)
        query = request.query_params
        media = self._site.media.put(await request.body(), query["mimetype"], query.get("filename", ""))
        return JSONResponse(media)

    async def download(self, request: Request) -> Response:
        if self._site.network.down:
            return Response(status_code=UNAVAILABLE)
        media = self._site.media.objects.get(request.url.path)
        status = NOT_FOUND if media is None else media.downloads.next_status()
        if media is None or status != OK:
            return Response(status_code=status)
        length = {"Content-Length": str(len(media.data))}
        return StreamingResponse(media.served(), media_type=media.mimetype, headers=length)

    async def hook_events(self, _: Request) -> Response:
        return StreamingResponse(self._site.hooks.events(), media_type="text/event-stream")

    async def hook_answer(self, request: Request) -> Response:
        answer = await request.json()
        self._site.hooks.answer(answer["id"], answer["result"])
        return Response(status_code=204)


def draw_qr(code: str) -> bytes:
    """A QR code as PNG."""
    picture = qrcode.QRCode(error_correction=ERROR_CORRECT_L, mask_pattern=QR_MASK, box_size=4, border=4)
    picture.add_data(code)
    png = BytesIO()
    picture.make_image(image_factory=PyPNGImage).save(png)
    return png.getvalue()
