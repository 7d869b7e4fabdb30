"""What a person sees of webhooks, and does about them: `whatsapp-container webhooks`, and the doctor."""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from cli.checks import webhooks
from cli.checks.finding import Level
from cli.main import cli
from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_event
from tests.harness.waiting import wait_until
from tests.harness.webhook_bench import wait_for_groups
from tests.harness.webhook_receiver import Receiver, receiving
from tests.harness.webhooks_process import delivering
from whatsapp_contract.names import SessionNames
from whatsapp_contract.reading import carry_out_async
from whatsapp_contract.redis_connection import connect_async
from whatsapp_contract.settings import Settings
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import dead_letters, group_of, request_replay, states

NAMES = SessionNames("s1")


def told(server: RedisServer, *args: str, url: str = "", code: int = 0) -> list[dict[str, Any]]:
    """The documents that a subcommand prints."""
    env = {"REDIS_URL": server.url, "WHATSAPP_SESSION_ID": "s1", "WEBHOOK_URL": url}
    result = CliRunner().invoke(cli, ["webhooks", *args, "--json"], env=env)
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def text(server: RedisServer, *args: str, url: str = "") -> str:
    env = {"REDIS_URL": server.url, "WHATSAPP_SESSION_ID": "s1", "WEBHOOK_URL": url}
    return CliRunner().invoke(cli, ["webhooks", *args], env=env).output


def only(server: RedisServer) -> dict[str, Any]:
    """How the only one stands, once that is told."""

    def found() -> list[dict[str, Any]]:
        return list(told(server, "list")[0]["webhooks"])

    (state,) = wait_until(found, 30, "it is told how it stands", every_s=0.1)
    return state


def refused(server: RedisServer, receiver: Receiver, codes: str) -> None:
    """Events that become dead letters."""
    wait_until(lambda: only(server)["behind"] == 0, 30, "the group is there", every_s=0.1)
    with server.client() as redis:
        for code in codes:
            add_event(redis, NAMES, code)
    wait_until(lambda: only(server)["dead"] == len(codes), 30, "they are dead letters", every_s=0.1)


def test_dead_letters_are_shown_and_tried_again(redis_server: RedisServer) -> None:
    is_broken = True
    with (
        receiving(answer=lambda post: 422 if is_broken and post.code in "123" else 204) as receiver,
        delivering(redis_server, receiver.url),
    ):
        refused(redis_server, receiver, "123")
        shown = told(redis_server, "dead")
        assert [json.loads(letter["body"])["data"]["code"] for letter in shown] == ["1", "2", "3"]
        assert {letter["reason"] for letter in shown} == {"answers 422"}
        assert told(redis_server, "dead", "-n", "1") == shown[-1:]
        lines = text(redis_server, "dead").splitlines()
        assert [line.split()[-1] for line in lines] == [letter["id"] for letter in shown]
        assert "alert answers 422" in lines[0]
        is_broken = False
        assert told(redis_server, "replay", shown[1]["id"]) == [{"letters": 1, "unknown": []}]
        wait_until(lambda: only(redis_server)["dead"] == 2, 30, "one is taken", every_s=0.1)
        assert told(redis_server, "replay", "x-1-1", code=1) == [{"letters": 0, "unknown": ["x-1-1"]}]
        assert told(redis_server, "replay", "--all") == [{"letters": 2, "unknown": []}]
        wait_until(lambda: only(redis_server)["dead"] == 0, 30, "all are taken", every_s=0.1)
        assert told(redis_server, "dead") == []
        assert text(redis_server, "dead") == "there are no dead letters\n"
    assert receiver.codes()[-3:] == ["2", "1", "3"]
    for command in ("replay", "discard"):
        assert told(redis_server, command, code=2)[0]["error"]["code"] == "bad_usage"


def test_a_letter_that_nobody_wants_is_taken_away(redis_server: RedisServer) -> None:
    with receiving(answer=lambda post: 422 if post.code in "123" else 204) as receiver:
        with delivering(redis_server, receiver.url):
            refused(redis_server, receiver, "123")
        ids = [letter["id"] for letter in told(redis_server, "dead")]
        assert told(redis_server, "discard", ids[1], "x-1-1", code=1) == [{"letters": 1, "unknown": ["x-1-1"]}]
        assert ([letter["id"] for letter in told(redis_server, "dead")], only(redis_server)["dead"]) == (ids[::2], 2)
        assert told(redis_server, "discard", "--all") == [{"letters": 2, "unknown": []}]
        assert (told(redis_server, "dead"), only(redis_server)["dead"]) == ([], 0)


def test_a_backend_for_asyncio_asks_the_same(redis_server: RedisServer) -> None:
    async def ask() -> tuple[int, list[str], list[str]]:
        async with connect_async(redis_server.url) as redis:
            (state,) = await carry_out_async(redis, states(NAMES))
            letters = await carry_out_async(redis, dead_letters(NAMES))
            unknown = await carry_out_async(redis, request_replay(NAMES, [letters[0].id, "x-1-1"]))
            return state.dead, [letter.id for letter in letters], unknown.unknown

    with (
        receiving(answer=lambda post: 422 if post.code == "1" else 204) as receiver,
        delivering(redis_server, receiver.url),
    ):
        refused(redis_server, receiver, "1")
        dead, ids, unknown = asyncio.run(ask())
        assert (dead, len(ids), unknown) == (1, 1, ["x-1-1"])


def test_how_they_stand(redis_server: RedisServer) -> None:
    assert text(redis_server, "list") == "there are no webhooks\n"
    with (
        receiving() as receiver,
        delivering(redis_server, receiver.url),
    ):
        wait_for_groups(redis_server, receiver)
        state = only(redis_server)
        assert (state["is_served"], state["host"]) == (True, f"http://127.0.0.1:{receiver.port}")
        assert " works delivered=0" in text(redis_server, "list", url=receiver.url)
        assert told(redis_server, "forget", state["id"], code=1)[0]["error"]["code"] == "in_use"
    with redis_server.client() as redis:
        seen_at = f"{state['id']}.seen_at"
        redis.hset(NAMES.webhooks, seen_at, str(float(str(redis.hget(NAMES.webhooks, seen_at))) - 60))
        assert " not served delivered=0" in text(redis_server, "list", url=receiver.url)
        assert " not served, and not in WEBHOOK_URL " in text(redis_server, "list")
        assert told(redis_server, "forget", state["id"]) == [{"forgotten": state["id"]}]
        assert redis.exists(NAMES.webhooks) == 0
        groups: Any = redis.xinfo_groups(NAMES.events)
        assert group_of(state["id"]) not in {group["name"] for group in groups}
    assert told(redis_server, "forget", state["id"], code=1)[0]["error"]["code"] == "not_found"


# -- the doctor ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hosts", "words"),
    [
        ("http://127.0.0.1/t0ken", set(), "is not a public address"),
        ("http://127.0.0.1/t0ken", {"127.0.0.1"}, None),
        ("https://1.1.1.1/t0ken", set(), None),
        ("https://no-such-host.invalid/t0ken", set(), "is not known"),
    ],
)
def test_a_host_that_may_not_be_spoken_to(url: str, hosts: set[str], words: str | None) -> None:
    finding = webhooks.reach(url, frozenset(hosts))
    if words is None:
        assert finding is None
    else:
        assert finding is not None
        assert finding.level is Level.BAD
        assert words in finding.found
        assert "t0ken" not in f"{finding.found} {finding.advice}"


def test_the_doctor_says_how_they_stand(redis_server: RedisServer) -> None:
    with receiving(answer=lambda post: 422 if post.code == "1" else 503) as receiver:
        settings = Settings.from_env(
            {
                "REDIS_URL": redis_server.url,
                "WHATSAPP_SESSION_ID": "s1",
                "WEBHOOK_URL": receiver.url,
                "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
            }
        )
        without = settings.model_copy(update={"webhook_url": None})
        assert [finding.level for finding in webhooks.look(without, runs=True)] == [Level.OK]
        assert [finding.level for finding in webhooks.look(settings, runs=True)] == [Level.WARN]
        with delivering(redis_server, receiver.url):
            refused(redis_server, receiver, "1")
            wait_until(lambda: only(redis_server)["failing_since"], 30, "the alert is not taken", every_s=0.1)
            found = {finding.level: finding.found for finding in webhooks.look(settings, runs=True)}
        assert found.keys() == {Level.BAD, Level.WARN}
        assert "answers 503" in found[Level.BAD]
        assert "1 dead letters" in found[Level.WARN]
        with redis_server.client() as redis:
            redis.hset(NAMES.webhooks, f"{hook_id(receiver.url)}.seen_at", "1000")
        found = {finding.level: finding.found for finding in webhooks.look(without, runs=True)}
        assert "not in WEBHOOK_URL any more" in found[Level.WARN]
    redis_server.kill()
    assert [finding.level for finding in webhooks.look(settings, runs=True)] == [Level.WARN]
    redis_server.start()
