"""Events in a stream, as the agent writes them, and what is pending of them."""

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
