"""Events in a stream, as the agent writes them, and what is pending of them."""

import json
from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

from whatsapp_contract import event_script
from whatsapp_contract.events import AlertData, AuthFailureData
from whatsapp_contract.names import SessionNames


def add_event(redis: Any, names: SessionNames, code: str, event_type: str = "alert") -> Any:
    """The entry's id; of an `auth_failure` the code is the reason. With a client for asyncio it is to be awaited."""
    data = AlertData(code=code, message="m") if event_type == "alert" else AuthFailureData(reason=code)
    answer = event_script.publish(redis, names, event_type, data)
    return _only_of(answer) if isawaitable(answer) else answer[0]


async def _only_of(answers: Awaitable[list[Any]]) -> Any:
    return (await answers)[0]


def add_bare_events(redis: Any, names: SessionNames, *types: str) -> list[str]:
    """Entries of these types with next to nothing in them, written at once; their ids."""
    with redis.pipeline(transaction=False) as asked:
        for number, kind in enumerate(types):
            event = {
                "v": 1,
                "type": kind,
                "session_id": names.session_id,
                "epoch": 1,
                "seq": number,
                "occurred_at": "2026-11-01T00:00:00Z",
                "observed_at": "2026-11-01T00:00:00Z",
                "data": {},
            }
            asked.xadd(names.events, {"event": json.dumps(event)})
        return [str(one) for one in asked.execute()]
