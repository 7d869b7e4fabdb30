"""Events that a webhook refuses: kept, shown, bounded, tried again."""

import json
import threading

import pytest

from tests.harness.redis_server import RedisServer
from tests.harness.waiting import wait_until
from tests.harness.webhook_bench import (
    NAMES,
    alerts,
    letters,
    refuses,
    settled,
    state,
    tell,
    tell_in_chats,
    wait_for_groups,
)
from tests.harness.webhook_receiver import Post, receiving
from tests.harness.webhooks_process import QUICK, delivering
from whatsapp_contract.reading import carry_out
from whatsapp_contract.webhooks import discard, request_replay


@pytest.mark.parametrize("status", [400, 410, 500])
def test_what_is_refused_becomes_a_dead_letter_and_others_follow(redis_server: RedisServer, status: int) -> None:
    answer = refuses("a-1", "b-1", status=status)
    with receiving(answer=answer) as receiver, delivering(redis_server, receiver.url) as process:
        wait_for_groups(redis_server, receiver)
        tell_in_chats(redis_server, "a-1", "a-2", "b-1", "c-1")
        receiver.wait_taken(3)  # and the alert
        stands = settled(redis_server)
        assert "dead letter" in process.log
    assert [post.code for post in receiver.posts].count("a-1") == 5
    assert sorted(receiver.codes()) == ["a-2", "c-1", "webhook_dead_letters"]
    assert (stands.dead, stands.lost, stands.failing_since) == (2, 0, None)
    assert {letter.id for letter in letters(redis_server)} == {
        f"{stands.id}-{post.event['id']}" for post in receiver.posts if post.status == status
    }
    letter = letters(redis_server)[0]
    assert (letter.reason, letter.attempts, letter.host) == (f"answers {status}", 5, stands.host)
    assert letter.body.encode() in {post.body for post in receiver.posts}
    assert alerts(redis_server) == ["webhook_dead_letters"]


def test_who_refuses_everything_is_waited_for(redis_server: RedisServer) -> None:
    """As a broken receiver does: of its events hardly any is given up, and its alerts do not multiply."""
    is_broken = True
    codes = [str(number) for number in range(40)]
    with (
        receiving(answer=lambda _post: 500 if is_broken else 204) as receiver,
        delivering(redis_server, receiver.url, constants=(*QUICK, "outcome.MOST_WAIT_S=0.05")) as process,
    ):
        wait_for_groups(redis_server, receiver)
        tell(redis_server, *codes)
        wait_until(lambda: state(redis_server).failing_since, 30, "it is told that it fails", every_s=0.05)
        process.kill()
        process.start()
        asked = len(receiver.posts)
        receiver.wait_asked(asked + 30)
        stands = state(redis_server)
        assert stands.dead == 5
        is_broken = False
        receiver.wait_taken(36)
        assert settled(redis_server).dead == 5
        assert [code for code in receiver.codes() if code.isdigit()] == codes[5:]
        assert receiver.codes().count("webhook_dead_letters") == 1
        with redis_server.client() as redis:
            assert carry_out(redis, request_replay(NAMES)) == (5, [])
        receiver.wait_taken(41)
        wait_until(lambda: state(redis_server).dead == 0, 30, "no letter is left", every_s=0.05)
    assert receiver.codes()[36:] == codes[:5]
    assert alerts(redis_server) == ["webhook_dead_letters"]


def test_a_letter_is_tried_again_when_somebody_asks(redis_server: RedisServer) -> None:
    refused = {"1", "2"}
    with (
        receiving(answer=lambda post: 422 if post.code in refused else 204) as receiver,
        delivering(redis_server, receiver.url) as process,
    ):
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "1", "2", "3")
        receiver.wait_taken(2)
        settled(redis_server)
        first, second = [letter.id for letter in letters(redis_server)]
        refused.remove("2")
        with redis_server.client() as redis:
            asked = carry_out(redis, request_replay(NAMES, [first, second, "none-0-1", first]))
            assert asked == (2, ["none-0-1"])
        wait_until(lambda: state(redis_server).dead == 1, 30, "one is taken", every_s=0.05)
        wait_until(lambda: letters(redis_server)[0].attempts == 10, 30, "the other one is refused again", every_s=0.05)
        assert [letter.id for letter in letters(redis_server)] == [first]
        process.kill()  # with one that is asked for
        refused.remove("1")
        with redis_server.client() as redis:
            assert carry_out(redis, request_replay(NAMES, [first])) == (1, [])
        process.start()
        wait_until(lambda: state(redis_server).dead == 0, 30, "none is left", every_s=0.05)
        with redis_server.client() as redis:
            assert redis.llen(NAMES.webhook_replays(state(redis_server).id)) == 0
    ids = [post.headers["webhook-id"] for post in receiver.posts if post.code == "1"]
    assert len(set(ids)) == 1


def test_a_letter_that_is_discarded_while_it_is_tried_again_does_not_come_back(redis_server: RedisServer) -> None:
    gate, asked, refused = threading.Event(), threading.Event(), {"1", "2", "3"}

    def answer(post: Post) -> int:
        if post.code == "1" and "3" not in refused:
            asked.set()
            gate.wait(30)
        return 422 if post.code in refused else 204

    with receiving(answer=answer) as receiver, delivering(redis_server, receiver.url):
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "1", "2", "3")
        wait_until(lambda: len(letters(redis_server)) == 3, 30, "there are letters", every_s=0.05)
        settled(redis_server)
        ids = [letter.id for letter in letters(redis_server)]
        refused.remove("3")
        with redis_server.client() as redis:
            assert carry_out(redis, request_replay(NAMES, ids)) == (3, [])
            assert asked.wait(30)
            assert carry_out(redis, discard(NAMES, ids[:2])) == (2, [])
        for code in ("4", "5"):  # before it reads the second one it sees that the letters are gone
            tell(redis_server, code)
            wait_until(lambda code=code: code in receiver.codes(), 30, "it goes on")  # type: ignore[misc]
        gate.set()
        wait_until(lambda: "3" in receiver.codes(), 30, "the one behind them is taken")
        wait_until(lambda: state(redis_server).dead == 0, 30, "none is left", every_s=0.05)
        assert letters(redis_server) == []
    tries = [post.code for post in receiver.posts]
    assert (tries.count("1"), tries.count("2")) == (6, 5)


def test_letters_that_are_refused_again_hold_up_nothing(redis_server: RedisServer) -> None:
    bad = "123456789"
    with receiving(answer=refuses(*bad, status=422)) as receiver, delivering(redis_server, receiver.url) as process:
        wait_for_groups(redis_server, receiver)
        for code in bad:
            tell(redis_server, code, f"ok-{code}")
        wait_until(lambda: len(letters(redis_server)) == len(bad), 60, "there are letters", every_s=0.1)
        settled(redis_server)
        with redis_server.client() as redis:
            assert carry_out(redis, request_replay(NAMES)) == (len(bad), [])
        tried = "each is tried again, and given up again"
        wait_until(lambda: {letter.attempts for letter in letters(redis_server)} == {10}, 60, tried, every_s=0.1)
        assert state(redis_server).failing_since is None
        assert "a webhook fails; its events wait" not in process.log
        tell(redis_server, "live")
        wait_until(lambda: "live" in receiver.codes(), 30, "others go on")


def test_a_letter_that_cannot_be_read_is_passed_over_and_can_be_discarded(redis_server: RedisServer) -> None:
    """As of another version, or written by somebody else."""
    with receiving(answer=refuses("1", "2")) as receiver, delivering(redis_server, receiver.url) as process:
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "1", "2")
        wait_until(lambda: len(letters(redis_server)) == 2, 30, "there are letters", every_s=0.05)
        settled(redis_server)
        first, second = letters(redis_server)
        with redis_server.client() as redis:
            redis.hset(NAMES.webhook_letters(first.hook), first.id, '{"id":"x"}')
            assert [letter.id for letter in letters(redis_server)] == [second.id]
            assert carry_out(redis, request_replay(NAMES)) == (2, [])
            replays = NAMES.webhook_replays(first.hook)
            wait_until(lambda: redis.llen(replays) == 0, 30, "neither is asked for any more", every_s=0.05)
        assert process.log.count("a dead letter cannot be read and is not tried") == 1
        assert letters(redis_server)[0].attempts == 10
        tell(redis_server, "3")
        wait_until(lambda: "3" in receiver.codes(), 30, "it goes on")
        with redis_server.client() as redis:
            assert carry_out(redis, discard(NAMES, [first.id])) == (1, [])
        assert state(redis_server).dead == 1


def test_letters_are_bounded_and_that_some_went_is_told_once(redis_server: RedisServer) -> None:
    constants = (*QUICK, "scribe.LETTERS_AT_MOST=3", "outcome.TRIES=1", "outcome.DEAD_IN_A_ROW=100")
    with (
        receiving(answer=lambda post: 400 if post.code.isdigit() else 204) as receiver,
        delivering(redis_server, receiver.url, constants=constants),
    ):
        wait_for_groups(redis_server, receiver)
        tell(redis_server, *"123456")
        receiver.wait_taken(2)
        stands = settled(redis_server)
    assert [json.loads(letter.body)["data"]["code"] for letter in letters(redis_server)] == ["4", "5", "6"]
    assert (stands.dead, stands.lost) == (3, 3)
    assert alerts(redis_server) == ["webhook_dead_letters", "webhook_letters_lost"]
