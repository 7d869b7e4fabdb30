"""A backend in Python. Run as many as you like, each under a name of its own that it keeps over restarts:

REDIS_URL=redis://localhost:6379/0 .venv/bin/python docs/examples/backend.py backend-1
"""

import asyncio
import os
import sys
from typing import Any

from whatsapp_contract.client import AsyncAgentClient
from whatsapp_contract.redis_connection import connect_async


async def main(consumer: str) -> None:
    async with connect_async(os.environ["REDIS_URL"]) as redis:
        client = AsyncAgentClient(redis, os.environ.get("WHATSAPP_SESSION_ID", "shula-whatsapp"))
        done: set[str] = set()  # of yours it is rather a column with a unique index, written with the work itself
        async for event in client.follow(group="photos", consumer=consumer, types={"message", "media"}):
            # What was being worked on when a backend or Redis died comes again.
            once = f"{event.type} {event.data['key']} {event.data.get('status')}"
            if once not in done:
                handle(event.type, event.data)
                done.add(once)
            # It is acknowledged here, when the next one is asked for. An exception, and it comes again.


def handle(kind: str, data: dict[str, Any]) -> None:
    if data["from_me"]:  # what this account itself has sent
        return
    if kind == "message":
        print("message", data["key"], data["chat_name"], data["text"], flush=True)
    elif data["status"] == "stored":
        print("photo", data["key"], data["url"], flush=True)
    else:
        print("no photo", data["key"], data["error"], flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or "REDIS_URL" not in os.environ:
        sys.exit("usage: REDIS_URL=redis://... python backend.py NAME (the name is this process's own)")
    asyncio.run(main(sys.argv[1]))
