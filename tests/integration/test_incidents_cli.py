"""`whatsapp-container incidents`, against a real Redis."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from tests.harness.redis_server import RedisServer
from whatsapp_contract.health import Verdict
from whatsapp_contract.incidents import LEFT, Incident, RungTaken
from whatsapp_contract.names import SessionNames
from workers.incidents import IncidentLog
from workers.memory import Memory

BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def run(server: RedisServer, *arguments: str) -> Result:
    return CliRunner(env={"REDIS_URL": server.url, "WHATSAPP_SESSION_ID": "s1"}).invoke(cli, ["incidents", *arguments])


@pytest.fixture
def known(redis_server: RedisServer) -> RedisServer:
    with redis_server.client() as redis:
        log = IncidentLog(redis, SessionNames("s1"))
        over = Incident(
            id="over",
            instance="i1",
            verdict=Verdict.PAGE_HUNG,
            reason="page_timeout",
            bad_since=BEGAN,
            found_at=BEGAN + timedelta(seconds=10),
            rungs=(
                RungTaken(
                    rung="reload", cause="page_hung: page_timeout", at=BEGAN + timedelta(seconds=20), took_ms=1500
                ),
            ),
            ended_at=BEGAN + timedelta(seconds=24),
            cured_by="reload",
            ended_as="healthy",
            not_ready_s=24.0,
        )
        log.keep(over)
        later = BEGAN + timedelta(hours=1)
        log.keep(Incident(id="on", instance="i1", verdict=Verdict.DEAF, reason="r", bad_since=later, found_at=later))
    return redis_server


def test_a_table_tells_what_was_wrong_what_cured_it_and_for_how_long(known: RedisServer) -> None:
    head, over, still_on = run(known).stdout.splitlines()
    assert head.split()[:2] == ["id", "when"]
    assert " ".join(over.split()) == "over 2026-11-23 12:00:00 page_hung: page_timeout reload reload 24 s"
    assert " ".join(still_on.split()) == "on 2026-11-23 13:00:00 deaf: r none not over"


def test_the_last_ones_can_be_had_as_json(known: RedisServer) -> None:
    document = json.loads(run(known, "--last", "1", "--json").stdout)
    assert [one["id"] for one in document["incidents"]] == ["on"]


def test_one_is_told_as_a_story(known: RedisServer) -> None:
    story = run(known, "show", "over").stdout
    assert "+20.0 s  reload for page_hung: page_timeout carried out in 1.5 s" in story
    assert "healthy; cured by reload" in story
    assert json.loads(run(known, "show", "over", "--json").stdout)["not_ready_s"] == 24.0


def test_of_one_whose_container_is_gone_no_end_is_known(known: RedisServer) -> None:
    with known.client() as redis:
        log = IncidentLog(redis, SessionNames("s1"))
        incident = log.get("on")
        assert incident is not None
        log.keep(incident.model_copy(update={"ended_at": BEGAN + timedelta(hours=2), "ended_as": LEFT}))
    assert run(known).stdout.splitlines()[-1].endswith("not known")
    story = run(known, "show", "on").stdout
    assert story.splitlines()[-1] == "its container is gone: how it ended is not known"


def test_one_that_is_not_known_is_an_error(known: RedisServer) -> None:
    done = run(known, "show", "none", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == "not_found"


def test_nothing_wrong_is_said_so(redis_server: RedisServer) -> None:
    assert run(redis_server).stdout == "nothing went wrong\n"


def test_a_person_s_restart_is_told_in_its_place(known: RedisServer) -> None:
    with known.client() as redis:
        log = IncidentLog(redis, SessionNames("s1"))
        over = log.get("over")
        assert over is not None
        log.keep(over.model_copy(update={"person_at": BEGAN + timedelta(seconds=15), "cured_by": "person"}))
    lines = run(known, "show", "over").stdout.splitlines()
    assert [line.split("  ")[-1] for line in lines[3:5]] == [
        "somebody restarted the agent",
        "reload for page_hung: page_timeout carried out in 1.5 s",
    ]


def test_one_that_cannot_be_read_keeps_no_other_away(known: RedisServer) -> None:
    names = SessionNames("s1")
    with known.client() as redis:
        redis.hset(names.incidents, "broken", '{"id": "private words"}')
        redis.zadd(names.incidents_order, {"broken": BEGAN.timestamp() + 7200})
    document = json.loads(run(known, "--json").stdout)
    assert [one["id"] for one in document["incidents"]] == ["over", "on"]
    told = run(known, "show", "broken")
    assert (told.exit_code, type(told.exception)) == (1, SystemExit)
    assert "can be read" in told.output
    assert "private" not in told.output


def test_a_new_watchdog_ends_what_was_left_beside_one_that_cannot_be_read(known: RedisServer) -> None:
    names = SessionNames("s1")
    with known.client() as redis:
        redis.hset(names.incidents, "broken", "{")
        redis.zadd(names.incidents_order, {"broken": BEGAN.timestamp() + 7200})
        assert [one.id for one in IncidentLog(redis, names).left(Memory(), datetime.now(UTC))] == ["on"]
