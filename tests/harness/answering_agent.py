"""An agent that answers every command with a plausible result, or with the error that a test gives it."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from tests.harness.on_the_bus import OnTheBus
from whatsapp_contract import results
from whatsapp_contract.commands import COMMANDS, CommandSpec
from whatsapp_contract.health import Facts, Verdict
from whatsapp_contract.states import SessionState

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_SEND: dict[str, Any] = {
    "idempotency_key": "k",
    "status": "queued",
    "chat_id": "120363000000000001@g.us",
    "message_key": None,
    "error": None,
    "attempts": 0,
    "accepted_at": _NOW,
    "sent_at": None,
}
_GROUP: dict[str, Any] = {
    "id": "120363000000000001@g.us",
    "name": "Photos",
    "size": 1,
    "followed": True,
    "created_at": _NOW,
    "members": [{"lid": None, "phone": "393331111111@c.us", "name": None, "is_admin": True}],
}
_CHAT: dict[str, Any] = {
    "id": "120363000000000001@g.us",
    "name": "Photos",
    "is_group": True,
    "followed": True,
    "last_message_at": _NOW,
    "unread": 0,
    "archived": False,
}
# What each result has; a field of a new result that is missing here fails the test that asks for it.
_FIELDS: dict[type[BaseModel], dict[str, Any]] = {
    results.PingResult: {
        "instance": "i1",
        "pid": 1,
        "epoch": 1,
        "state": SessionState.READY,
        "operation": None,
        "held_until": None,
    },
    results.CheckResult: {
        "facts": Facts(observed_at=_NOW, state=SessionState.READY, since=_NOW),
        "verdict": Verdict.HEALTHY,
        "reason": "ready",
        "operation": None,
    },
    results.ResetResult: {"took_ms": 1.0, "frame_seen_at": _NOW},
    results.ReloadResult: {"steps": ["reload"], "took_ms": 1.0},
    results.RestartBrowserResult: {"browser_pid": 2, "took_ms": 1.0},
    results.LogoutResult: {"took_ms": 1.0},
    results.PairingCodeResult: {"code": "ABCD-EFGH", "expires_at": _NOW, "took_ms": 1.0},
    results.BackupResult: {"generation": "g1", "is_new": True, "stored_bytes": 1, "took_ms": 1.0},
    results.FollowChatsResult: {"chats": ["groups"], "since": _NOW, "matching": 1},
    results.ListChatsResult: {"chats": [_CHAT]},
    results.ListGroupsResult: {"groups": [_GROUP]},
    results.BackfillResult: {"chats": 1, "told": 0, "complete": True, "took_ms": 1.0},
    results.ScreenshotResult: {"path": "/data/screenshot.png", "size": 1, "took_ms": 1.0},
    results.MediaRetryResult: {"retried": 0, "unknown": []},
    results.MediaUrlResult: {"url": "file:///data/a", "expires_at": None},
    results.SendResult: _SEND,
    results.SuppressResult: {"suppressed": []},
    results.SendsStateResult: {"stopped": None, "open": 0},
    results.ShutdownResult: {},
    results.CarrySendResult: {"done": True, "retry_in_s": None},
}


class AnsweringAgent(OnTheBus):
    """`given` has every command with its arguments."""

    def __init__(self, redis_url: str, session_id: str) -> None:
        super().__init__(redis_url, session_id)
        self.given: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, Exception] = {}

    async def answer(self, spec: CommandSpec, args: Any) -> BaseModel:
        self.given.append((spec.name, args.model_dump(mode="json")))
        if spec.name in self.errors:
            raise self.errors[spec.name]
        return COMMANDS[spec.name].result.model_validate(_FIELDS[spec.result])
