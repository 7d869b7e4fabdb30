"""The control API that `client.WhatsAppWeb` speaks: POST /control/<name> with the arguments as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.whatsapp_web.server.control_groups import GroupCalls
from tests.whatsapp_web.server.control_media import MediaCalls
from tests.whatsapp_web.server.messages import Frame
from tests.whatsapp_web.server.page_hooks import NoPageAnswered
from tests.whatsapp_web.server.phone import Phone, PhoneRefuses
from tests.whatsapp_web.server.site import Site

BAD_REQUEST = 400
CONFLICT = 409


def control_routes(site: Site) -> list[Route]:
    """The API's addresses."""
    calls = Control(site)

    async def call(request: Request) -> Response:
        name = request.path_params["call"]
        method: Callable[..., Any] | None = None if name.startswith("_") else getattr(calls, name, None)
        if method is None:
            return JSONResponse({"error": f"no such call: {name}"}, BAD_REQUEST)
        try:
            result = method(**await request.json())
            if isinstance(result, Awaitable):
                result = await result
        except (PhoneRefuses, NoPageAnswered) as error:
            return JSONResponse({"error": str(error), "kind": type(error).__name__}, CONFLICT)
        except (TypeError, ValueError, KeyError) as error:
            return JSONResponse({"error": repr(error), "kind": "bad_call"}, BAD_REQUEST)
        return JSONResponse({"result": result})

    async def put_media(request: Request) -> Response:
        query = request.query_params
        media = site.media.put(await request.body(), query["mimetype"], query.get("filename", ""))
        return JSONResponse({"result": media})

    async def media_bytes(request: Request) -> Response:
        media = site.media.objects[request.query_params["path"]]
        return Response(media.data, media_type=media.mimetype)

    return [
        Route("/control/media", put_media, methods=["POST"]),
        Route("/control/media-bytes", media_bytes),
        Route("/control/{call}", call, methods=["POST"]),
    ]


class Control(MediaCalls, GroupCalls):
    """Each public method is one call of the API; its keyword arguments are the call's JSON."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._phone = Phone(site)

    # --- the phone

    async def scan(self, payload: str | None, timeout_s: float) -> int:
        return await self._phone.scan(payload, timeout_s)

    async def enter_link_code(self, code: str, timeout_s: float) -> int:
        return await self._phone.enter_link_code(code, timeout_s)

    def answer_link_codes(self, refusal: str | None, after_s: float) -> None:
        self._site.link_codes.refusal, self._site.link_codes.after_s = refusal, after_s

    def void_link_codes(self, event: str) -> int:
        return self._phone.void_link_codes(event)

    def link_codes_asked(self) -> list[Frame]:
        return self._site.link_codes.asked

    async def code_on_show(self, timeout_s: float) -> str:
        return await self._phone.code_on_show(timeout_s)

    def log_out_from_phone(self) -> int:
        return self._phone.log_out_devices()

    # --- messages

    def deliver(self, messages: list[Frame]) -> list[str]:
        known = (len(self._site.account.people), len(self._site.account.groups))
        composed = [self._site.compose(**message) for message in messages]
        if known != (len(self._site.account.people), len(self._site.account.groups)):
            self._site.tell_roster()
        self._site.deliver(composed)
        return [message.key for message in composed]

    # --- the network

    def drop(self, refuse_s: float | None) -> None:
        self._site.network.drop(refuse_s)

    def restore(self) -> None:
        self._site.network.restore()

    def half_open(self, also_new: bool) -> None:
        self._site.network.half_open(also_new)

    def stop(self, state: str) -> None:
        for session in self._site.network.logged_in():
            session.stop(state)

    def slow(self, frame_s: float) -> None:
        self._site.network.slow(frame_s)

    def shut_out(self, state: str, after_s: float) -> None:
        self._site.network.shut(state, after_s)

    # --- the page

    async def rotate_qr(self) -> None:
        await self._turn("rotateQr")

    async def idle_qr(self) -> None:
        await self._turn("idleQr")

    async def _turn(self, hook: str) -> None:
        """Done when the code of before is not on show any more."""
        before = self._phone.glance()
        await self._site.hooks.run(hook)
        await self._phone.sees_another(before, timeout_s=5.0)

    async def busy_loop(self, ms: float) -> None:
        await self._site.hooks.run("busyLoop", ms)

    async def leak(self, bytes: int) -> None:
        await self._site.hooks.run("leak", bytes)

    async def deafen(self) -> None:
        await self._site.hooks.run("deafen")

    async def slow_page(self, busy_ms: float, every_ms: float, for_ms: float) -> None:
        await self._site.hooks.run("slowPage", busy_ms, every_ms, for_ms)

    # --- what is known

    def set_options(self, **changes: Any) -> None:
        self._site.options = self._site.options.changed(**changes)

    def state(self) -> Frame:
        network = self._site.network
        return {
            "down": network.down,
            "connections": self.connections(),
            "code_on_show": self._phone.glance(),
            "undelivered": sum(len(device.undelivered) for device in self._site.account.devices.values()),
            "open_pages": self._site.hooks.open_pages,
            "options": self._site.options.as_json(),
            "sends": self._site.account.sends.as_state(),
            "media_retries": self._site.media.retries,
            "groups": [asdict(group) for group in self._site.account.groups.values()],
        }

    def connections(self) -> Frame:
        return {**self._site.network.as_json(), "devices": sorted(self._site.account.devices)}

    def model(self) -> list[Frame]:
        return [message.as_model() for message in self._site.account.messages.values()]

    def reset(self) -> None:
        self._site.reset()
