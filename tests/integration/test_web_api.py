"""The HTTP API of a real web process on a real Redis, with an agent that answers."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.harness.answering_agent import AnsweringAgent
from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_bare_events
from tests.harness.waiting import wait_until
from tests.harness.web_process import INSTANCE, SESSION, VIEW_TOKEN, WebProcess, problem
from web.problems import STATUS_BY_CODE
from whatsapp_contract import errors
from whatsapp_contract.errors import Busy, ContractError, NotFound
from whatsapp_contract.health import Verdict
from whatsapp_contract.history import CheckSeen, of_check, together
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import letter_id
from workers.tasks import RESTART_EXPIRES_S

NAMES = SessionNames(SESSION)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def web(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    with WebProcess(server, tmp_path_factory.mktemp("web")) as process:
        yield process


@pytest.fixture
def agent(server: RedisServer) -> Iterator[AnsweringAgent]:
    with AnsweringAgent(server.url, SESSION) as made, server.client() as redis:
        wait_until(lambda: redis.pubsub_numsub(NAMES.commands)[0][1], 10, "the agent listens")
        yield made
    with server.client() as redis:
        wait_until(lambda: not redis.pubsub_numsub(NAMES.commands)[0][1], 10, "the agent is gone")


@pytest.fixture
def http(web: WebProcess) -> Iterator[httpx.Client]:
    with web.client() as client:
        yield client


def tell(server: RedisServer, *types: str) -> list[str]:
    """Events into the stream; their ids."""
    with server.client() as redis:
        return add_bare_events(redis, NAMES, *types)


def status_of(instance: str, epoch: int) -> dict[Any, Any]:
    """As an agent that is ready tells it."""
    moment = "2026-11-01T00:00:00+00:00"
    known = {"session_id": SESSION, "instance": instance, "pid": "1", "epoch": str(epoch), "state": "ready"}
    times = {"started_at": moment, "heartbeat_at": moment, "since": moment}
    return {**known, **times, "verdict": "healthy", "verdict_reason": "ready"}


def test_a_command_is_carried_to_the_agent_and_its_result_back(http: httpx.Client, agent: AnsweringAgent) -> None:
    answer = http.post("/api/commands/reset", json={"cause": "a test"})
    assert (answer.status_code, answer.json()["proven"]) == (200, True)
    assert agent.given == [("reset", {"cause": "a test", "incident": None})]


def test_a_send_is_accepted_with_its_own_key(http: httpx.Client, agent: AnsweringAgent) -> None:
    body = {"idempotency_key": "k", "chat_id": "120363000000000001@g.us", "text": "hello"}
    answer = http.post("/api/messages/text", json=body)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert agent.given == [("send_text", {**body, "mentions": []})]


def test_groups_come_with_their_members_where_asked(http: httpx.Client, agent: AnsweringAgent) -> None:
    (group,) = http.get("/api/groups").json()
    assert http.get(f"/api/groups/{group['id']}").json()["members"][0]["is_admin"] is True
    assert problem(http.get("/api/groups/1@g.us")) == (404, "not_found")
    assert [args for _name, args in agent.given] == [{"members": False}, {"members": True}, {"members": True}]


@pytest.mark.parametrize("kind", ContractError.__subclasses__())
def test_every_error_of_the_contract_has_its_own_answer(
    http: httpx.Client, agent: AnsweringAgent, kind: type[ContractError]
) -> None:
    agent.errors["ping"] = kind("said so")
    answer = http.post("/api/commands/ping")
    assert problem(answer) == (STATUS_BY_CODE[kind.code], kind.code)
    assert answer.json()["retryable"] is kind.retryable
    assert answer.json()["detail"] == "said so"


def test_every_code_of_the_contract_is_known_to_http() -> None:
    assert set(STATUS_BY_CODE) == {kind.code for kind in ContractError.__subclasses__()}
    assert errors.Internal.code in STATUS_BY_CODE


def test_without_an_agent_a_command_says_so_at_once_and_what_redis_knows_is_told(http: httpx.Client) -> None:
    assert problem(http.get("/api/chats")) == (503, "agent_unreachable")
    assert problem(http.post("/api/agent/restart")) == (503, "agent_unreachable")
    for path in ("/api/status", "/api/queues", "/api/incidents", "/api/media", "/api/messages", "/api/events"):
        assert http.get(path).status_code == 200, path


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{", {}, (400, "bad_json")),
        (b"{}", {"Content-Type": "text/plain"}, (400, "bad_json")),
        (b"[1]", {}, (422, "bad_arguments")),
        (b'{"caused": "x"}', {}, (422, "bad_arguments")),
        (b'{"cause": ""}', {}, (422, "bad_arguments")),
        (b'{"cause": "' + b"x" * 2**20 + b'"}', {}, (413, "too_large")),
    ],
)
def test_bad_bodies_are_told_apart(
    http: httpx.Client, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = http.post("/api/commands/reset", content=body, headers={"Content-Type": "application/json"} | headers)
    assert problem(answer) == expected


@pytest.mark.parametrize(
    ("path", "args"),
    [
        ("/api/commands/reset", {"cause": "HALF"}),
        ("/api/commands/follow_chats", {"chats": ["HALF"]}),
        ("/api/commands/media_retry", {"keys": ["HALF"]}),
        ("/api/commands/reset", {"HALF": "x"}),
        ("/api/media/retry", {"keys": ["HALF"]}),
        ("/api/sessions/backup", {"cause": "HALF"}),
        ("/api/agent/restart", {"cause": "HALF"}),
        ("/api/messages/text", {"idempotency_key": "k", "chat_id": "1@g.us", "text": "HALF"}),
        ("/api/messages/media", {"idempotency_key": "k", "chat_id": "1@g.us", "source": "/f", "caption": "HALF"}),
        ("/api/messages/reaction", {"idempotency_key": "k", "message_key": "true_1@g.us_A", "reaction": "HALF"}),
    ],
)
def test_half_of_a_surrogate_pair_is_no_argument(
    http: httpx.Client, agent: AnsweringAgent, path: str, args: dict[str, Any]
) -> None:
    """JSON can spell it, and no text can hold it."""
    body = json.dumps(args).replace("HALF", r"private\ud800")
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == (422, "bad_arguments")
    assert "HALF" in args or "private" not in answer.text
    assert agent.given == []


def test_a_body_without_a_length_is_limited_all_the_same(http: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"cause": "'
        for _ in range(40):
            yield b"x" * 65_536

    answer = http.post("/api/commands/reset", content=pieces(), headers={"Content-Type": "application/json"})
    assert problem(answer) == (413, "too_large")


def test_what_is_wrong_is_told_without_the_number_that_is(http: httpx.Client) -> None:
    body = {"idempotency_key": "k", "chat_id": "+39 333 1234567 x", "text": "hello"}
    answer = http.post("/api/messages/text", json=body)
    assert problem(answer) == (422, "bad_arguments")
    assert "1234567" not in answer.text
    assert "chat_id" in answer.json()["detail"]


def test_the_viewer_s_token_reads_and_does_nothing(web: WebProcess, server: RedisServer) -> None:
    with server.client() as redis, web.client(VIEW_TOKEN) as viewer:
        redis.set(NAMES.qr, json.dumps({"payload": "2@x", "sequence": 1, "expires_at": "2030-01-01T00:00:00Z"}))
        for path in ("/api/status", "/api/queues", "/api/events", "/metrics", "/docs", "/openapi.json"):
            assert viewer.get(path).status_code == 200, path
        assert "2@x" not in viewer.get("/api/status").text
        for path in ("/api/qr", "/api/qr.png"):  # whoever scans it links his own account
            assert problem(viewer.get(path)) == (403, "forbidden")
        for path in ("/api/commands/ping", "/api/agent/restart", "/api/media/retry", "/api/sessions/backup"):
            assert problem(viewer.post(path)) == (403, "forbidden")
        with web.client() as owner:
            assert owner.get("/api/qr").json()["payload"] == "2@x"
            assert owner.get("/api/qr.png").content.startswith(b"\x89PNG")
        redis.delete(NAMES.qr)


def test_the_worker_beside_the_agent_is_asked_for_a_restart(http: httpx.Client, server: RedisServer) -> None:
    names = InstanceNames(SESSION, "another-container")
    with server.client() as redis:
        redis.hset(NAMES.status, mapping=status_of("another-container", 7))
        answer = http.post("/api/agent/restart", json={"cause": "a person"})
        assert (answer.status_code, answer.json()) == (202, {"instance": "another-container", "epoch": 7})
        assert redis.llen(names.queue_list) == 1
        assert redis.llen(InstanceNames(SESSION, INSTANCE).queue_list) == 0
        redis.delete(NAMES.status, names.queue_list, names.restart_asked)


def test_one_restart_of_an_agent_is_asked_for_at_a_time(http: httpx.Client, server: RedisServer) -> None:
    names = InstanceNames(SESSION, INSTANCE)
    with server.client() as redis:
        redis.hset(NAMES.status, mapping=status_of(INSTANCE, 7))
        answers = [http.post("/api/agent/restart") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202, 409, 409, 409, 409]
        assert problem(answers[-1]) == (409, "busy")
        assert answers[-1].json()["retryable"] is True
        assert redis.llen(names.queue_list) == 1
        assert 0 < redis.ttl(names.restart_asked) <= RESTART_EXPIRES_S  # for a worker that never comes to it
        redis.hset(NAMES.status, "epoch", "8")  # it was carried out
        assert http.post("/api/agent/restart").json()["epoch"] == 8
        assert redis.llen(names.queue_list) == 2
        redis.delete(NAMES.status, names.queue_list, names.restart_asked)


def test_a_status_that_cannot_be_read_is_told_to_who_asks_for_a_restart(
    http: httpx.Client, server: RedisServer
) -> None:
    with server.client() as redis:
        redis.hset(NAMES.status, mapping={**status_of(INSTANCE, 7), "epoch": "private"})
        answer = http.post("/api/agent/restart")
        assert problem(answer) == (503, "status_unreadable")
        assert "private" not in answer.text
        redis.delete(NAMES.status)


def test_a_send_is_known_from_redis_alone(http: httpx.Client, server: RedisServer) -> None:
    record = {
        "idempotency_key": "k1",
        "kind": "text",
        "chat_id": "1@g.us",
        "args": {"text": "private words"},
        "digest": "d",
        "message_id": "m",
        "accepted_at": 1.0,
    }
    with server.client() as redis:
        redis.set(NAMES.send("k1"), json.dumps(record))
        redis.zadd(NAMES.sends_open, {"k1": 1.0, "lost": 2.0})
        answer = http.get("/api/messages/k1")
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        listed = http.get("/api/messages")
        assert (listed.json()["total"], [one["idempotency_key"] for one in listed.json()["sends"]]) == (2, ["k1"])
        assert "private words" not in answer.text + listed.text
        redis.delete(NAMES.send("k1"), NAMES.sends_open)
    assert problem(http.get("/api/messages/k1")) == (404, "not_found")


# What somebody else, or another version, has written: no JSON, another shape, a time that no calendar has.
OF_ANOTHER_SHAPE = ("private words", "{}", '["private words"]')


def test_a_record_that_cannot_be_read_keeps_no_other_away(http: httpx.Client, server: RedisServer) -> None:
    moment = "2026-11-01T00:00:00Z"
    incident = {
        "id": "good",
        "instance": "i",
        "verdict": "deaf",
        "reason": "r",
        "bad_since": moment,
        "found_at": moment,
    }
    file: dict[str, Any] = {"key": "good", "chat_id": "1@g.us", "sent_at": 1.0, "seen_at": 1.0}
    send: dict[str, Any] = {"idempotency_key": "good", "kind": "text", "chat_id": "1@g.us", "args": {}, "digest": "d"}
    send |= {"message_id": "m", "accepted_at": 1.0}
    bad = {f"bad{number}": text for number, text in enumerate(OF_ANOTHER_SHAPE)}
    with server.client() as redis:
        redis.hset(NAMES.incidents, mapping={"good": json.dumps(incident), **bad})
        redis.zadd(NAMES.incidents_order, {"good": 1, **dict.fromkeys(bad, 2)})
        late = {"late": json.dumps({**file, "key": "late", "ended_at": 1e30})}
        redis.hset(NAMES.media, mapping={"good": json.dumps(file), **bad, **late})
        redis.zadd(NAMES.media_failed, {"good": 1, **dict.fromkeys([*bad, *late], 2)})
        late = {"late": json.dumps({**send, "idempotency_key": "late", "accepted_at": 1e30})}
        redis.mset({NAMES.send(key): text for key, text in {"good": json.dumps(send), **bad, **late}.items()})
        redis.zadd(NAMES.sends_open, {"good": 2, **dict.fromkeys([*bad, *late], 1)})
        assert [one["id"] for one in http.get("/api/incidents").json()] == ["good"]
        files = http.get("/api/media").json()
        assert ([one["key"] for one in files["files"]], files["failed"]) == (["good"], 5)
        sends = http.get("/api/messages").json()
        assert ([one["idempotency_key"] for one in sends["sends"]], sends["total"]) == (["good"], 5)
        for path in ("/api/incidents", "/api/messages"):
            assert http.get(f"{path}/good").status_code == 200
            for key in bad:
                answer = http.get(f"{path}/{key}")
                assert problem(answer) == (404, "not_found")
                assert "cannot be read" in answer.json()["detail"]
                assert "private" not in answer.text
        redis.delete(NAMES.incidents, NAMES.incidents_order, NAMES.media, NAMES.media_failed, NAMES.sends_open)
        redis.delete(*(NAMES.send(key) for key in ("good", "late", *bad)))


def test_the_last_day_of_checks_is_told_by_minutes(http: httpx.Client, server: RedisServer) -> None:
    assert http.get("/api/history").json()["minutes"] == []
    now = datetime.now(UTC)
    seen = [CheckSeen(now, Verdict.HEALTHY, "ready", 4.0, 1000), CheckSeen(now, Verdict.PAGE_HUNG, "page_silent")]
    with server.client() as redis:
        redis.lpush(NAMES.history, together(*map(of_check, seen)).to_json())
        (minute,) = http.get("/api/history").json()["minutes"]
        assert {**minute, "at": ""} == {
            "at": "",
            "verdict": "page_hung",
            "reason": "page_silent",
            "checks": 2,
            "bad": 1,
            "p50_ms": 4.0,
            "max_ms": 4,
            "memory_bytes": 1000,
        }
        assert datetime.fromisoformat(minute["at"]).second == 0
        redis.delete(NAMES.history)


def test_webhooks_and_their_dead_letters_are_shown_tried_again_and_taken_away(
    http: httpx.Client, server: RedisServer
) -> None:
    assert (http.get("/api/webhooks").json(), http.get("/api/webhooks/dead").json()) == ([], [])
    hook = hook_id("https://backend.example/hook?key=private")
    letter = letter_id(hook, "1764000000000-0")
    died = {"id": letter, "hook": hook, "host": "backend.example", "body": "{}", "reason": "500", "attempts": 5}
    with server.client() as redis:
        redis.hset(NAMES.webhooks, mapping={f"{hook}.host": "backend.example", f"{hook}.dead": "1"})
        redis.zadd(NAMES.webhook_dead(hook), {letter: 1764000000})
        redis.hset(NAMES.webhook_letters(hook), letter, json.dumps({**died, "died_at": "2026-11-01T00:00:00Z"}))
        (shown,) = http.get("/api/webhooks").json()
        assert (shown["host"], shown["dead"], shown["is_served"]) == ("backend.example", 1, False)
        assert [one["id"] for one in http.get("/api/webhooks/dead", params={"webhook": hook}).json()] == [letter]
        unknown = letter_id(hook, "1-1")
        asked = http.post("/api/webhooks/replay", json={"ids": [letter, unknown]})
        assert (asked.status_code, asked.json()) == (202, {"letters": 1, "unknown": [unknown]})
        assert redis.lrange(NAMES.webhook_replays(hook), 0, -1) == [letter]
        assert http.post("/api/webhooks/discard").json() == {"letters": 1, "unknown": []}
        assert http.get("/api/webhooks/dead").json() == []
        assert problem(http.post("/api/webhooks/replay", json={"ids": ["all of them"]})) == (422, "bad_arguments")
        redis.delete(NAMES.webhooks)


def test_snapshots_are_read_from_the_store_by_a_process_of_its_own(http: httpx.Client) -> None:
    answer = http.get("/api/sessions")
    assert (answer.status_code, answer.json()["generations"]) == (200, [])
    assert problem(http.post("/api/sessions/verify")) == (404, "not_found")
    assert problem(http.post("/api/sessions/verify", json={"generation": "--all"})) == (422, "bad_arguments")


def test_events_are_paged_and_filtered_from_any_place(http: httpx.Client, server: RedisServer) -> None:
    first, second, third = tell(server, "qr", "ready", "message")
    page = http.get("/api/events", params={"after": first}).json()
    assert ([event["id"] for event in page["events"]], page["next"]) == ([second, third], third)
    page = http.get("/api/events", params={"after": first, "limit": 1}).json()
    assert ([event["id"] for event in page["events"]], page["next"]) == ([second], second)
    page = http.get("/api/events", params={"after": first, "types": ["ready"]}).json()
    assert ([event["type"] for event in page["events"]], page["next"]) == (["ready"], third)
    newest = http.get("/api/events", params={"limit": 2}).json()
    assert ([event["id"] for event in newest["events"]], newest["next"]) == ([second, third], third)
    assert problem(http.get("/api/events", params={"after": "yesterday"})) == (422, "bad_arguments")


def test_a_long_poll_ends_with_the_first_event(web: WebProcess, http: httpx.Client, server: RedisServer) -> None:
    (last,) = tell(server, "ready")
    answers: list[dict[str, Any]] = []

    def poll() -> None:
        with web.client() as mine:
            answers.append(mine.get("/api/events", params={"after": last, "wait_s": 20, "types": "message"}).json())

    waiting = threading.Thread(target=poll)
    waiting.start()
    tell(server, "qr")
    (told,) = tell(server, "message")
    waiting.join(25)
    (answer,) = answers
    assert [event["id"] for event in answer["events"]] == [told]
    empty = http.get("/api/events", params={"after": told, "wait_s": 0.1}).json()
    assert empty == {"events": [], "next": told}


def test_the_agent_s_refusals_reach_whoever_asked_by_another_path(http: httpx.Client, agent: AnsweringAgent) -> None:
    agent.errors["backup"] = Busy("reset is under way")
    assert problem(http.post("/api/sessions/backup")) == (409, "busy")
    agent.errors["media_url"] = NotFound("no such file is stored")
    assert problem(http.get("/api/media/link", params={"key": "true_1@c.us_A"})) == (404, "not_found")
