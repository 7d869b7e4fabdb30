"""The watchdog's surroundings: an agent that does what the test says, and what the watchdog has told of it."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from tests.harness.on_the_bus import OnTheBus
from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import Supervisor
from whatsapp_contract.client import AgentClient
from whatsapp_contract.commands import CommandSpec
from whatsapp_contract.event_script import TAKE_EPOCH_LUA
from whatsapp_contract.health import Facts, Verdict, verdict
from whatsapp_contract.health import Limits as HealthLimits
from whatsapp_contract.incidents import Incident
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.results import CheckResult, PingResult, ReloadResult, ResetResult, RestartBrowserResult
from whatsapp_contract.states import SessionState
from workers.incidents import IncidentLog
from workers.memory import Limits, Memory
from workers.watchdog import Watchdog

NAMES = InstanceNames("s1", "i1")


class Agent(OnTheBus):
    """Listens on a thread of its own and answers as told. `called` has every command with its cause.

    Without a verdict it is judged by its facts, and every load begins its state anew.
    """

    def __init__(self, redis_url: str) -> None:
        super().__init__(redis_url, "s1")
        self.clock: Callable[[], float] = time.time
        self.verdict: Verdict | None = Verdict.HEALTHY
        self.state = SessionState.READY
        self.since = datetime.now(UTC)
        self.operation: str | None = None
        self.errors: dict[str, Exception] = {}
        self.frozen = False
        self.frame_age_s = 0.0
        self.called: list[tuple[str, str | None]] = []
        self.incidents: list[str | None] = []  # of the rungs

    async def answer(self, spec: CommandSpec, args: Any) -> BaseModel:
        self.called.append((spec.name, getattr(args, "cause", None)))
        if spec.name not in ("check", "ping"):
            self.incidents.append(getattr(args, "incident", None))
        if self.frozen:
            await asyncio.sleep(3600)
        if spec.name in self.errors:
            raise self.errors[spec.name]
        now = self.now()
        match spec.name:
            case "check":
                facts = self._facts(now)
                told = verdict(facts, HealthLimits(), now)
                return CheckResult(facts=facts, verdict=told.verdict, reason=told.reason, operation=self.operation)
            case "reset":
                return ResetResult(took_ms=1, frame_seen_at=now)
            case "reload":
                self.since = now
                return ReloadResult(steps=["reload"], took_ms=1)
            case "restart_browser":
                self.since = now
                return RestartBrowserResult(browser_pid=1, took_ms=1)
            case _:
                return PingResult(
                    instance="i1", pid=1, epoch=1, state=SessionState.READY, operation=None, held_until=None
                )

    def _facts(self, now: datetime) -> Facts:
        """Those of the state, of which one is bad where there is a verdict."""
        good = Facts(
            observed_at=now,
            state=self.state,
            since=self.since,
            browser_seen_at=now,
            page_seen_at=now,
            frame_seen_at=now - timedelta(seconds=self.frame_age_s),
        )
        long_ago = now - timedelta(hours=1)
        changes: dict[Verdict | None, dict[str, Any]] = {
            Verdict.DISCONNECTED: {"frame_seen_at": long_ago},
            Verdict.PAGE_HUNG: {"page_seen_at": long_ago},
            Verdict.BROWSER_GONE: {"browser_seen_at": long_ago},
            Verdict.DEAF: {"unheard_since": long_ago},
            Verdict.WAITING_FOR_PERSON: {"state": SessionState.AWAITING_SCAN},
        }
        return good.model_copy(update=changes.get(self.verdict, {}))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def rungs(self) -> list[str]:
        return [name for name, _cause in self.called if name not in ("check", "ping")]


def watchdog(server: RedisServer, supervisor: Supervisor, limits: Limits | None = None, **settings: Any) -> Watchdog:
    client = AgentClient(server.client(), "s1")
    patience = {"agent_grace_s": 0.0, "redis_settled_s": 0.0, **settings.pop("patience", {})}
    health = HealthLimits(**patience)
    return Watchdog(client, NAMES, supervisor.control, limits or Limits(), health_limits=health, **settings)


def alert_data(server: RedisServer) -> list[dict[str, Any]]:
    with server.client() as redis:
        entries: Any = redis.xrange("whatsapp:s1:events")
    events = [json.loads(fields["event"]) for _id, fields in entries]
    return [event["data"] for event in events if event["type"] == "alert"]


def alerts(server: RedisServer) -> list[tuple[str, str]]:
    return [(data["code"], data["message"]) for data in alert_data(server)]


def remembered(server: RedisServer) -> Memory:
    with server.client() as redis:
        kept: Any = redis.get(NAMES.ladder)
    return Memory.model_validate_json(kept) if kept else Memory()


def take_epoch(server: RedisServer) -> None:
    with server.client() as redis:
        redis.eval(TAKE_EPOCH_LUA, 1, SessionNames("s1").fence, "1", "1")


def told(server: RedisServer) -> list[Incident]:
    with server.client() as redis:
        return IncidentLog(redis, SessionNames("s1")).last(1000)
