"""What lies on the queue of sends: written by the agent that accepts them, read by the worker that carries them.

JSON, since whoever may write to this Redis must not be able to have a worker run what they like. A send has one
message and no other, so that it can be found among those that wait.
"""

import json
from typing import Any

TASK = "carry"


def message_of(idempotency_key: str) -> str:
    """The message that has a send carried."""
    return json.dumps({"task": TASK, "args": [idempotency_key]}, separators=(",", ":"))


def around_key() -> tuple[str, str]:
    """What stands before and after the key in a message, for a script in Redis: JSON leaves keys as they are."""
    before, after = message_of("\0").split(json.dumps("\0")[1:-1])
    return before, after


def key_in(message: str | bytes) -> str:
    """The idempotency key in a message. Raises ValueError for what is none."""
    try:
        document: Any = json.loads(message)
    except ValueError:
        document = None
    arguments = document.get("args") if isinstance(document, dict) and document.get("task") == TASK else None
    if not isinstance(arguments, list) or len(arguments) != 1 or not isinstance(arguments[0], str):
        raise ValueError("not a message of the queue of sends")
    return arguments[0]
