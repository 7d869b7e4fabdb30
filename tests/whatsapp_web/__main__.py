"""`python -m tests.whatsapp_web`: the stand-in as a process of its own."""

from __future__ import annotations

import argparse
import json
import socket
from types import FrameType

import uvicorn

from tests.whatsapp_web import options
from tests.whatsapp_web.server.app import create_app
from tests.whatsapp_web.server.site import Site


class LoopbackServer(uvicorn.Server):
    """Says its port when it listens, and ends with status 0 when it is asked to."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print(json.dumps({"port": self.servers[0].sockets[0].getsockname()[1]}), flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would raise the signal again after its shutdown, and wait for the pages' event streams.
        self.should_exit = True
        self._site.hooks.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.whatsapp_web", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    options.add_arguments(parser)
    arguments = parser.parse_args()

    site = Site(options.from_arguments(arguments))
    config = uvicorn.Config(
        create_app(site),
        host="127.0.0.1",
        port=arguments.port,
        # pyppeteer pins websockets 10, which uvicorn refuses.
        ws="wsproto",
        # A ping of the server's own would be a frame on a link that is meant to be silent.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    LoopbackServer(config, site).run()


if __name__ == "__main__":
    main()
