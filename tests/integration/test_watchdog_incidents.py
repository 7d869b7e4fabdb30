"""The watchdog's incidents: what was wrong, what was done, what cured it."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.supervisor import Supervisor
from tests.harness.watched import NAMES, Agent, alerts, remembered, told, watchdog
from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import Incident
from whatsapp_contract.names import SessionNames
from workers.incidents import IncidentLog


def test_an_incident_has_its_rungs_its_cure_and_how_long_it_took(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    now = 1_800_000_000.0
    agent.clock = lambda: now
    agent.since = agent.now()
    dog = watchdog(redis_server, supervisor, clock=lambda: now)
    dog.check()
    agent.verdict, agent.errors["reload"] = Verdict.PAGE_HUNG, PageTimeout("it did not come back")
    for _ in range(3):
        now += 10
        dog.check()
    [open_one] = told(redis_server)
    assert open_one.ended_at is None
    now += 4
    agent.verdict, agent.since = Verdict.HEALTHY, agent.now()
    now += 6
    dog.check()
    [incident] = told(redis_server)
    assert (incident.verdict, incident.reason, incident.instance) == (Verdict.PAGE_HUNG, "page_silent", "i1")
    assert [(rung.rung, rung.error) for rung in incident.rungs] == [
        ("reload", "page_timeout"),
        ("restart_browser", None),
    ]
    assert incident.rungs[1].took_ms is not None
    assert (incident.cured_by, incident.ended_as) == ("restart_browser", "healthy")
    assert incident.not_ready_s == 3600 + 24.0  # since the page's last answer
    assert agent.incidents == [incident.id] * 2
    assert remembered(redis_server).incident is None


def test_one_bad_check_is_no_incident_and_two_without_a_rung_are(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    dog = watchdog(redis_server, supervisor)
    for verdicts in ([Verdict.PAGE_HUNG], [Verdict.PAGE_HUNG, Verdict.BROWSER_GONE]):
        for one in [*verdicts, Verdict.HEALTHY]:
            agent.verdict = one
            dog.check()
    assert agent.rungs() == []
    [incident] = told(redis_server)
    assert (incident.verdict, incident.cured_by, incident.rungs) == (Verdict.PAGE_HUNG, "itself", ())


def publish(server: RedisServer, kind: str, at: datetime, **data: Any) -> None:
    event = {
        "v": 1,
        "type": kind,
        "session_id": "s1",
        "epoch": 1,
        "seq": 1,
        "occurred_at": at.isoformat(),
        "observed_at": at.isoformat(),
        "data": data,
    }
    with server.client() as redis:
        redis.xadd("whatsapp:s1:events", {"event": json.dumps(event)})


@pytest.mark.parametrize(
    ("kind", "data", "verdict"),
    [
        ("disconnected", {"reason": "browser_gone", "state": "starting"}, Verdict.BROWSER_GONE),
        ("disconnected", {"reason": "link_dropped", "state": "disconnected"}, Verdict.DISCONNECTED),
        ("disconnected", {"reason": "reset", "state": "disconnected"}, None),
        ("restarted", {"what": "agent", "cause": "unknown"}, Verdict.AGENT_GONE),
        ("restarted", {"what": "agent", "cause": "stop"}, None),
    ],
)
def test_what_was_over_before_anybody_looked_is_an_incident_unless_it_was_wanted(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent, kind: str, data: dict[str, Any], verdict: Any
) -> None:
    agent.since = datetime.now(UTC) - timedelta(minutes=10)
    dog = watchdog(redis_server, supervisor)
    dog.check()
    now = datetime.now(UTC)
    publish(redis_server, kind, now - timedelta(seconds=5), **data)
    agent.since = now - timedelta(seconds=2)
    dog.check()
    dog.check()
    found = [(one.verdict, one.cured_by, one.not_ready_s) for one in told(redis_server)]
    if verdict is None:
        assert found == []
    else:
        [(seen, cured_by, not_ready_s)] = found
        assert (seen, cured_by) == (verdict, "itself")
        assert not_ready_s == pytest.approx(3, abs=0.5)


def test_a_browser_that_dies_now_and_then_for_hours_is_told_once(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    """Never often enough for the start budget, and brought back by the agent each time."""
    now = time.time() - 4 * 3600
    agent.clock = lambda: now
    agent.since = agent.now()
    dog = watchdog(redis_server, supervisor, clock=lambda: now)
    dog.check()
    for _ in range(15):
        for _ in range(20):
            now += 30
            dog.check()
        publish(redis_server, "disconnected", agent.now(), reason="browser_gone", state="starting")
        now += 5
        agent.since = agent.now()
    dog.check()
    assert [code for code, _message in alerts(redis_server)] == ["browser_ends_often"]
    assert len(remembered(redis_server).browser_ends) == 15


def test_an_incident_of_a_container_that_is_gone_is_over(
    redis_server: RedisServer, supervisor: Supervisor, agent: Agent
) -> None:
    """Another took its place, with a name of its own; of its own it knows after a restart, too."""
    agent.verdict = Verdict.PAGE_HUNG
    for _ in range(2):
        watchdog(redis_server, supervisor).check()
    [own] = told(redis_server)
    assert own.ended_at is None
    with redis_server.client() as redis:
        redis.delete(NAMES.ladder)
        other = own.model_copy(update={"instance": "i0"})
        IncidentLog(redis, SessionNames("s1")).keep(other)
    agent.verdict = Verdict.HEALTHY
    watchdog(redis_server, supervisor).check()
    [left] = told(redis_server)
    assert (left.instance, left.ended_as, left.cured_by, left.not_ready_s) == ("i0", "left", None, None)
    assert left.ended_at is not None


def test_an_event_that_was_looked_at_is_not_looked_at_again(redis_server: RedisServer) -> None:
    publish(redis_server, "disconnected", datetime.now(UTC), reason="link_dropped", state="disconnected")
    with redis_server.client() as redis:
        log = IncidentLog(redis, SessionNames("s1"))
        events, newest = log.told_since(None)
        assert [event.type for event in events] == ["disconnected"]
        assert log.told_since(newest) == ([], newest)


def test_a_thousand_incidents_are_kept(redis_server: RedisServer) -> None:
    began = datetime(2026, 11, 23, tzinfo=UTC)
    with redis_server.client() as redis:
        log = IncidentLog(redis, SessionNames("s1"))
        for n in range(1005):
            at = began + timedelta(seconds=n)
            log.keep(Incident(id=f"i{n}", instance="i1", verdict=Verdict.DEAF, reason="r", bad_since=at, found_at=at))
        assert [one.id for one in log.last(2)] == ["i1003", "i1004"]
        assert log.get("i4") is None
        assert redis.hlen(SessionNames("s1").incidents) == redis.zcard(SessionNames("s1").incidents_order) == 1000
