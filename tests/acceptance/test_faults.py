"""What the service tells of resets and of some faults; checks every two seconds instead of ten.

What finds and cures each fault, and in which time, is in tests/faults.
"""

import contextlib
import json
import os
import signal
import time
from typing import Any

import psutil
import pytest
import redis

from tests.harness.service import INSTANCE, SESSION, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.events import Event
from whatsapp_contract.incidents import Incident
from whatsapp_contract.names import InstanceNames
from workers.incidents import IncidentLog


def is_ready(service: Service) -> bool:
    status = service.client.status()
    return status is not None and status.verdict == "healthy"


def redis_answers(service: Service) -> bool:
    try:
        return bool(service.redis.ping())
    except redis.exceptions.RedisError:
        return False


@pytest.fixture(autouse=True)
def well_before(ready_service: Service) -> None:
    """The watchdog, too, has seen that the session is well again; else the next fault is the sequel of the last."""
    kept = InstanceNames(SESSION, INSTANCE).ladder

    def is_well() -> bool:
        memory: Any = ready_service.redis.get(kept)
        return is_ready(ready_service) and (memory is None or json.loads(memory)["attempt"] is None)

    wait_until(is_well, 60, "the watchdog finds the session well")


def messages_arrive(service: Service, whatsapp: WhatsAppWeb) -> None:
    key = whatsapp.deliver_text("still there?")
    service.wait_event("message", where=lambda data: data["key"] == key)


def incident_of(service: Service, event: Event) -> Incident:
    """The incident that an event is a part of, once it is over."""
    log = IncidentLog(service.redis, service.client.names)

    def is_over() -> bool:
        incident = log.get(event.data["incident"])
        return incident is not None and incident.ended_at is not None

    wait_until(is_over, 60, "the incident is over")
    incident = log.get(event.data["incident"])
    assert incident is not None
    return incident


def renderers(service: Service) -> list[psutil.Process]:
    found = []
    for process in service.browser_processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # one that ended meanwhile
            if "--type=renderer" in process.cmdline():
                found.append(process)
    return found


def test_ticks_come_and_do_nothing_to_a_healthy_session(ready_service: Service) -> None:
    before, pids = ready_service.last_event_id(), ready_service.pids()
    seen = ready_service.status().page_seen_at
    wait_until(lambda: ready_service.status().page_seen_at != seen, 30, "the page was asked again")
    time.sleep(6)  # three ticks
    told = [event.type for event in ready_service.events(after=before)]
    assert set(told) <= {"session_saved"}, told  # a minute after it was ready
    assert ready_service.pids() == pids, ready_service.log()


def test_a_reset_proves_a_new_connection(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    before, opened = ready_service.last_event_id(), whatsapp.connections()["opened"]
    ready_service.client.call("reset", {"cause": "the test"})
    told = ready_service.wait_event("reset", after=before)
    assert (told.data["how"], told.data["cause"], told.data["proven"]) == ("reconnect", "the test", True)
    assert whatsapp.connections()["opened"] == opened + 1
    ready_service.wait_event("ready", after=before)
    messages_arrive(ready_service, whatsapp)


def test_a_dropped_link_is_told_and_comes_back_with_what_was_missed(
    ready_service: Service, whatsapp: WhatsAppWeb
) -> None:
    before = ready_service.last_event_id()
    whatsapp.drop()
    lost = ready_service.wait_event("disconnected", after=before)
    assert lost.data["reason"] == "link_dropped"
    key = whatsapp.deliver_text("while the link was down")
    whatsapp.restore()
    ready_service.wait_event("ready", after=before)
    ready_service.wait_event("message", after=before, where=lambda data: data["key"] == key)
    assert ready_service.events("restarted", after=before) == []


def test_a_crashed_page_is_loaded_anew_by_the_agent_itself(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    before, browser = ready_service.last_event_id(), ready_service.status().browser_pid
    for renderer in renderers(ready_service):
        with contextlib.suppress(psutil.NoSuchProcess):  # one ends with another
            renderer.kill()
    lost = ready_service.wait_event("disconnected", after=before)
    assert lost.data["reason"] == "page_crashed"
    ready_service.wait_event("ready", after=before)
    assert ready_service.status().browser_pid == browser
    messages_arrive(ready_service, whatsapp)


def test_a_conflict_is_taken_over_and_nothing_is_restarted(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    before, pids = ready_service.last_event_id(), ready_service.pids()
    whatsapp.conflict()
    ready_service.wait_state("conflict", after=before)
    cured = ready_service.wait_event("reset", after=before)
    assert (cured.data["how"], cured.data["proven"]) == ("takeover", True)
    assert cured.data["cause"] == "waiting_for_person: conflict"
    ready_service.wait_event("ready", after=before)
    assert ready_service.events("restarted", after=before) == []
    assert ready_service.pids() == pids
    incident = incident_of(ready_service, cured)
    # The first bad fact may be the link, which is lost a moment before the conflict is known.
    assert [(rung.rung, rung.cause) for rung in incident.rungs] == [("reset", "waiting_for_person: conflict")]
    assert incident.cured_by == "reset"


def test_a_killed_agent_leaves_no_browser_and_comes_back(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    before = ready_service.last_event_id()
    former = {process.pid for process in ready_service.browser_processes()}
    os.kill(ready_service.program("browser-agent").pid, signal.SIGKILL)
    ready_service.wait_event("ready", after=before)
    assert not former & {process.pid for process in ready_service.browser_processes()}
    messages_arrive(ready_service, whatsapp)


def test_an_embedded_redis_that_is_killed_costs_nothing(ready_service: Service, whatsapp: WhatsAppWeb) -> None:
    time.sleep(1.1)  # its file is synced every second
    before, pids = ready_service.last_event_id(), ready_service.pids()
    os.kill(pids["redis"], signal.SIGKILL)
    wait_until(lambda: ready_service.pids().get("redis") not in (None, 0, pids["redis"]), 60, "another Redis")
    wait_until(lambda: redis_answers(ready_service), 60, "it answers")
    wait_until(lambda: is_ready(ready_service), 60, "healthy")
    messages_arrive(ready_service, whatsapp)
    time.sleep(8)  # four ticks
    after = ready_service.pids()
    assert {name: pid for name, pid in after.items() if name != "redis"} == {
        name: pid for name, pid in pids.items() if name != "redis"
    }
    assert ready_service.events("restarted", "reset", after=before) == []
