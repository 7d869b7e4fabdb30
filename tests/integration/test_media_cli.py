"""`whatsapp-container media list`, against a real Redis with what the ledger keeps there."""

import json

import pytest
from click.testing import CliRunner, Result

from browser_agent.media.ledger import Ledger
from cli.main import cli
from tests.harness.redis_server import RedisServer
from whatsapp_contract.event_script import RedisCommand
from whatsapp_contract.media_record import MediaRecord, MediaState
from whatsapp_contract.names import SessionNames

NAMES = SessionNames("s1")
SEEN_AT = 1_800_000_000.0


def key_of(number: int) -> str:
    return f"false_120363000000000001@g.us_{number}_393331111111@c.us"


def record(number: int, state: MediaState, **more: object) -> MediaRecord:
    of_all = {"key": key_of(number), "chat_id": "120363000000000001@g.us", "sent_at": SEEN_AT, "seen_at": SEEN_AT}
    return MediaRecord.model_validate({**of_all, "state": state, "mimetype": "image/jpeg", **more})


def stored(number: int, ended_at: float) -> MediaRecord:
    url = f"s3://photos/{number}.jpg"
    return record(number, MediaState.STORED, ended_at=ended_at, url=url, size=1000 * number, sha256=f"{number:064x}")


@pytest.fixture
def known(redis_server: RedisServer) -> RedisServer:
    """One on its way, one that failed, three that are stored: the second of them last."""
    with redis_server.client() as redis:
        ledger = Ledger(redis, NAMES)  # it is not asked, only what it keeps
        commands: list[RedisCommand] = [
            *ledger.due_again(record(1, MediaState.FETCHED, problem="store_unavailable"), SEEN_AT),
            *ledger.ended(record(2, MediaState.FAILED, error="unfetchable", ended_at=SEEN_AT + 5)),
            *ledger.ended(stored(3, SEEN_AT + 10)),
            *ledger.ended(stored(4, SEEN_AT + 30)),
            *ledger.ended(stored(5, SEEN_AT + 20)),
        ]
        for command in commands:
            redis.execute_command(*command)
    return redis_server


def run(server: RedisServer, *arguments: str) -> Result:
    environ = {"REDIS_URL": server.url, "WHATSAPP_SESSION_ID": "s1"}
    return CliRunner(env=environ).invoke(cli, ["media", "list", *arguments])


def test_what_is_stored_is_listed_newest_last_with_its_size_and_url(known: RedisServer) -> None:
    told = run(known, "--stored")
    assert told.exit_code == 0, told.output
    *lines, count = told.output.splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["image/jpeg", f"{number},000", f"s3://photos/{number}.jpg", key_of(number)] for number in (3, 5, 4)
    ]
    assert lines[-1].startswith("2027-01-15 08:00:30 ")  # when it was stored
    assert count == "1 to be stored, 1 failed, 3 stored in the last 30 days"


def test_the_newest_of_them_are_a_document_each(known: RedisServer) -> None:
    told = run(known, "--stored", "--last", "2", "--json")
    documents = [json.loads(line) for line in told.output.splitlines()]
    assert [(each["url"], each["size"]) for each in documents] == [
        ("s3://photos/5.jpg", 5000),
        ("s3://photos/4.jpg", 4000),
    ]


def test_without_it_what_waits_and_failed_is_listed(known: RedisServer) -> None:
    waits, failed, _count = run(known).output.splitlines()
    assert waits.endswith(f" fetched (last try: store_unavailable) {key_of(1)}")
    assert " failed: unfetchable " in failed
    assert run(known, "--failed").output.splitlines()[:-1] == [failed]


def test_both_at_once_are_refused(known: RedisServer) -> None:
    told = run(known, "--stored", "--failed")
    assert (told.exit_code, told.stderr) == (2, "whatsapp-container: give --failed or --stored\n")


def test_one_that_cannot_be_read_keeps_no_other_away(known: RedisServer) -> None:
    with known.client() as redis:
        late = {**record(9, MediaState.FAILED).model_dump(mode="json"), "ended_at": 1e30}
        redis.hset(NAMES.media, mapping={"broken": "private words", "late": json.dumps(late)})
        redis.zadd(NAMES.media_failed, {"broken": SEEN_AT + 60, "late": SEEN_AT + 70})
    told = run(known, "--failed")
    assert told.exit_code == 0, told.output
    failed, count = told.output.splitlines()
    assert failed.endswith(key_of(2))
    assert "3 failed" in count
