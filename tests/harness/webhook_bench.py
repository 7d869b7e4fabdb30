"""Events for webhooks on a Redis of the test's, and what is to be seen there of them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from whatsapp_contract import event_script
from whatsapp_contract.names import SessionNames
from whatsapp_contract.reading import carry_out
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import DeadLetter, WebhookState, dead_letters, group_of, states

from .messages import message_with
from .redis_server import RedisServer
from .stream import add_event
from .waiting import wait_until
from .webhook_receiver import Post, Receiver

NAMES = SessionNames("s1")


def tell(server: RedisServer, *codes: str, event_type: str = "alert") -> list[str]:
    with server.client() as redis:
        return [add_event(redis, NAMES, code, event_type) for code in codes]


def tell_in_chats(server: RedisServer, *keys: str) -> None:
    """Messages whose keys are `<chat>-<number>`."""
    with server.client() as redis:
        for key in keys:
            message = message_with(None, key, datetime.now(UTC), key.partition("-")[0])
            event_script.publish(redis, NAMES, "message", message)


def state(server: RedisServer) -> WebhookState:
    """Of the only one. It is told with the sign of life, every two seconds."""
    with server.client() as redis:
        return wait_until(lambda: carry_out(redis, states(NAMES)), 30, "it is told how it stands", every_s=0.1)[0]


def letters(server: RedisServer) -> list[DeadLetter]:
    with server.client() as redis:
        return carry_out(redis, dead_letters(NAMES))


def alerts(server: RedisServer) -> list[str]:
    """The codes of our own, with how often each was told."""
    with server.client() as redis:
        entries: Any = redis.xrange(NAMES.events)
    codes = [json.loads(fields["event"])["data"].get("code", "") for _, fields in entries]
    return [code for code in codes if code.startswith("webhook_")]


def settled(server: RedisServer) -> WebhookState:
    wait_until(lambda: state(server).behind == 0, 30, "all is acknowledged", every_s=0.1)
    return state(server)


def refuses(*codes: str, status: int = 400) -> Callable[[Post], int]:
    return lambda post: status if post.code in codes else 204


def wait_for_groups(server: RedisServer, *receivers: Receiver) -> None:
    """Who is new hears from then on."""

    def groups() -> set[str]:
        with server.client() as redis:
            found: Any = redis.xinfo_groups(NAMES.events) if redis.exists(NAMES.events) else []
        return {group["name"] for group in found}

    wanted = {group_of(hook_id(receiver.url)) for receiver in receivers}
    wait_until(lambda: wanted <= groups(), 30, "the groups are there", every_s=0.05)
