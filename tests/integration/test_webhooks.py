"""Webhooks: the process that delivers, on a real Redis, to a real server."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from tests.harness.ports import free_port
from tests.harness.redis_server import RedisServer
from tests.harness.stream import add_event
from tests.harness.waiting import wait_until
from tests.harness.webhook_receiver import Post, Receiver, receiving
from tests.harness.webhooks_process import QUICK, delivering
from whatsapp_contract import event_script
from whatsapp_contract.names import SessionNames
from whatsapp_contract.webhook_settings import hook_id
from whatsapp_contract.webhooks import (
    DeadLetter,
    WebhookState,
    carry_out,
    dead_letters,
    group_of,
    request_replay,
    request_replay_of_all,
    states,
)

NAMES = SessionNames("s1")
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain-characters-here")


def tell(server: RedisServer, *codes: str, event_type: str = "alert") -> list[str]:
    with server.client() as redis:
        return [add_event(redis, NAMES, code, event_type) for code in codes]


def tell_in_chats(server: RedisServer, *keys: str) -> None:
    """Messages whose keys are `<chat>-<number>`."""
    with server.client() as redis:
        for key in keys:
            event_script.publish(redis, NAMES, "message", _Message(chat_id=key.partition("-")[0], key=key))


class _Message(BaseModel):
    chat_id: str
    key: str


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


# -- what is posted --------------------------------------------------------------------------------------------------


def test_an_event_is_posted_as_it_is_told_and_signed(redis_server: RedisServer) -> None:
    with receiving() as receiver, delivering(redis_server, receiver.url, WEBHOOK_SECRET=",".join(SECRETS)):
        with redis_server.client() as redis, redis.pubsub() as channel:
            channel.subscribe(NAMES.events)
            wait_until(lambda: redis.pubsub_numsub(NAMES.events)[0][1], 10, "the channel is listened to")
            (entry,) = tell(redis_server, "ä-1")
            told: Any = wait_until(
                lambda: channel.get_message(ignore_subscribe_messages=True), 10, "it is on the channel"
            )
        (post,) = receiver.wait_taken(1)
    assert post.body == told["data"].encode()
    assert post.event["id"] == entry
    assert post.headers["webhook-id"] == f"s1_{entry}"
    assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 60
    assert post.headers["content-type"] == "application/json"
    assert post.headers["user-agent"].startswith("whatsapp-container/")
    signed = f"s1_{entry}.{post.headers['webhook-timestamp']}.".encode() + post.body
    keys = [base64.b64decode(SECRETS[0].removeprefix("whsec_")), SECRETS[1].encode()]
    expected = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    assert post.headers["webhook-signature"] == " ".join(f"v1,{one}" for one in expected)


def test_only_named_events_are_posted_and_the_others_are_done_with(redis_server: RedisServer) -> None:
    with receiving() as receiver, delivering(redis_server, receiver.url, WEBHOOK_EVENTS="alert,ready"):
        tell(redis_server, "no", event_type="qr")
        tell(redis_server, "1")
        tell(redis_server, "no", event_type="message")
        tell(redis_server, "2", event_type="ready")
        receiver.wait_taken(2)
        assert settled(redis_server).delivered == 2
    assert sorted(receiver.codes()) == ["1", "2"]


def test_a_new_address_hears_from_now_on_and_keeps_its_place(redis_server: RedisServer) -> None:
    tell(redis_server, "before")
    with receiving() as receiver:
        with delivering(redis_server, receiver.url) as process:
            wait_until(lambda: state(redis_server).behind == 0, 30, "the group is there", every_s=0.1)
            tell(redis_server, "1")
            receiver.wait_taken(1)
            assert process.stop() == 0
            tell(redis_server, "2")
            process.start()
            receiver.wait_taken(2)
        assert receiver.codes() == ["1", "2"]


def test_each_address_gets_everything(redis_server: RedisServer) -> None:
    with receiving() as one, receiving() as other, delivering(redis_server, one.url, other.url):
        wait_for_groups(redis_server, one, other)
        tell(redis_server, "1", "2")
        one.wait_taken(2)
        other.wait_taken(2)
    assert one.codes() == other.codes() == ["1", "2"]


def wait_for_groups(server: RedisServer, *receivers: Receiver) -> None:
    """Who is new hears from then on."""

    def groups() -> set[str]:
        with server.client() as redis:
            found: Any = redis.xinfo_groups(NAMES.events) if redis.exists(NAMES.events) else []
        return {group["name"] for group in found}

    wanted = {group_of(hook_id(receiver.url)) for receiver in receivers}
    wait_until(lambda: wanted <= groups(), 30, "the groups are there", every_s=0.05)


def test_a_chat_s_events_come_in_their_order_and_chats_side_by_side(redis_server: RedisServer) -> None:
    keys = [f"{chat}-{number}" for number in range(20) for chat in "abc"]
    at_once: list[int] = []
    under_way: set[str] = set()
    guard = threading.Lock()

    def answer(post: Post) -> int:
        with guard:
            assert post.event["data"]["chat_id"] not in under_way
            under_way.add(post.event["data"]["chat_id"])
            at_once.append(len(under_way))
        time.sleep(0.01)
        with guard:
            under_way.remove(post.event["data"]["chat_id"])
        return 204

    with receiving(answer=answer) as receiver, delivering(redis_server, receiver.url):
        wait_for_groups(redis_server, receiver)
        tell_in_chats(redis_server, *keys)
        receiver.wait_taken(len(keys))
        settled(redis_server)
    assert max(at_once) > 1
    for chat in "abc":
        assert [code for code in receiver.codes() if code[0] == chat] == [key for key in keys if key[0] == chat]
    assert len({post.connection for post in receiver.posts}) <= 8


# -- outages ---------------------------------------------------------------------------------------------------------


def test_after_an_outage_nothing_is_lost_and_the_order_is_kept(redis_server: RedisServer) -> None:
    port, codes = free_port(), [str(number) for number in range(300)]
    with delivering(redis_server, f"http://127.0.0.1:{port}/hook") as process:
        with receiving(port) as receiver:
            wait_for_groups(redis_server, receiver)
            tell(redis_server, *codes[:100])
            receiver.wait_taken(100)
            first = receiver.codes()
        tell(redis_server, *codes[100:])
        wait_until(lambda: state(redis_server).failing_since, 30, "it is told that it fails", every_s=0.05)
        with receiving(port) as receiver:
            receiver.wait_taken(200)
            stands = settled(redis_server)
            second = receiver.codes()
        assert (stands.failing_since, stands.delivered) == (None, 300)
        assert stands.error is not None
        assert "refused" in stands.error
        assert stands.failures >= 1
        wait_until(lambda: "a webhook works again" in process.log, 10, "it is logged")
        assert process.log.count("a webhook fails; its events wait") == 1
    assert first + second == codes
    assert letters(redis_server) == []


@pytest.mark.parametrize("status", [408, 429, 503])
def test_who_says_that_it_is_overloaded_is_waited_for(redis_server: RedisServer, status: int) -> None:
    def answer(_post: Post) -> "int | tuple[int, dict[str, str]]":
        return (status, {"Retry-After": "1"}) if len(receiver.posts) < 3 else 204

    with receiving(answer=answer) as receiver, delivering(redis_server, receiver.url):
        wait_for_groups(redis_server, receiver)
        started = time.monotonic()
        tell(redis_server, "1", "2")
        receiver.wait_taken(2)
        assert time.monotonic() - started >= 3  # as it asked for
        assert settled(redis_server).dead == 0
    assert [post.code for post in receiver.posts] == ["1", "1", "1", "1", "2"]
    assert len({post.headers["webhook-id"] for post in receiver.posts}) == 2


def test_a_long_outage_is_told_once(redis_server: RedisServer) -> None:
    port = free_port()
    constants = (*QUICK, "outcome.MOST_WAIT_S=0.05", "scribe.UNREACHABLE_AFTER_S=0.5")
    with delivering(redis_server, f"http://127.0.0.1:{port}/hook", constants=constants) as process:
        wait_until(lambda: state(redis_server).behind == 0, 30, "the group is there", every_s=0.05)
        tell(redis_server, "1")
        wait_until(lambda: alerts(redis_server), 30, "the alert", every_s=0.05)
        failures = state(redis_server).failures
        process.kill()
        process.start()
        wait_until(lambda: state(redis_server).failures > failures + 5, 30, "more tries", every_s=0.05)
        assert alerts(redis_server) == ["webhook_unreachable"]
        with receiving(port) as receiver:
            receiver.wait_taken(2)
            assert [post.event["data"]["code"] for post in receiver.taken()] == ["1", "webhook_unreachable"]


def test_a_process_that_is_killed_loses_nothing(redis_server: RedisServer) -> None:
    codes = [str(number) for number in range(200)]
    gate = threading.Event()

    def answer(post: Post) -> int:
        if post.code == "120":
            gate.wait(30)
        return 204

    with receiving(answer=answer) as receiver, delivering(redis_server, receiver.url) as process:
        wait_for_groups(redis_server, receiver)
        tell(redis_server, *codes)
        receiver.wait_taken(120)
        process.kill()
        gate.set()
        process.start()
        wait_until(lambda: receiver.codes()[-1] == "199", 30, "all are taken")
        settled(redis_server)
    assert list(dict.fromkeys(receiver.codes())) == codes
    by_code = {post.code: {other.headers["webhook-id"] for other in receiver.posts if other.code == post.code}
               for post in receiver.posts}  # fmt: skip
    assert all(len(ids) == 1 for ids in by_code.values())


def test_a_stop_is_quick_and_breaks_off_what_is_under_way(redis_server: RedisServer) -> None:
    gate = threading.Event()

    def answer(_post: Post) -> int:
        asked.set()
        gate.wait(60)
        return 204

    asked = threading.Event()
    with receiving(answer=answer) as receiver, delivering(redis_server, receiver.url) as process:
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "1")
        assert asked.wait(30)
        started = time.monotonic()
        assert process.stop() == 0
        took_s = time.monotonic() - started
        gate.set()
        process.start()
        wait_until(lambda: settled(redis_server).delivered == 1, 30, "it came again")
    assert took_s < 2
    assert [post.headers["webhook-id"] for post in receiver.posts] == [receiver.posts[0].headers["webhook-id"]] * 2


def test_an_outage_of_redis_is_waited_for(redis_server: RedisServer) -> None:
    with receiving() as receiver, delivering(redis_server, receiver.url) as process:
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "1")
        receiver.wait_taken(1)
        settled(redis_server)
        pid = process.pid
        redis_server.kill()
        wait_until(lambda: "waiting for Redis" in process.log, 30, "it is noticed")
        redis_server.start()
        tell(redis_server, "2")
        receiver.wait_taken(2)
        settled(redis_server)
        assert process.pid == pid
    assert receiver.codes() == ["1", "2"]


def test_a_redis_that_lost_everything_is_begun_anew(redis_server: RedisServer) -> None:
    with receiving() as receiver, delivering(redis_server, receiver.url):
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "1")
        receiver.wait_taken(1)
        with redis_server.client() as redis:
            redis.flushall()
        tell(redis_server, "2")
        receiver.wait_taken(2)
        settled(redis_server)
    assert receiver.codes() == ["1", "2"]


def test_of_two_containers_one_delivers_and_the_other_goes_on(redis_server: RedisServer) -> None:
    with receiving() as receiver, delivering(redis_server, receiver.url) as one:
        wait_for_groups(redis_server, receiver)
        with delivering(redis_server, receiver.url, INSTANCE_ID="i2") as other:
            wait_until(lambda: "another container delivers" in other.log, 30, "it stands aside")
            tell(redis_server, *"1234")
            receiver.wait_taken(4)
            settled(redis_server)
            one.kill()
            tell(redis_server, *"5678")
            receiver.wait_taken(8)
            settled(redis_server)
    assert receiver.codes() == list("12345678")


def test_one_event_that_gets_no_answer_holds_up_its_chat_alone_and_not_for_ever(redis_server: RedisServer) -> None:
    """As one that kills whoever handles it, behind a proxy that then answers 502."""
    keys = [f"b-{number}" for number in range(100)]
    constants = (*QUICK, "outcome.MOST_WAIT_S=0.05")
    with (
        receiving(answer=refuses("a-1", status=502)) as receiver,
        delivering(redis_server, receiver.url, constants=constants),
    ):
        wait_for_groups(redis_server, receiver)
        tell_in_chats(redis_server, "a-1", "a-2")
        for key in keys:
            tell_in_chats(redis_server, key)
            wait_until(lambda key=key: key in receiver.codes(), 30, "the others go on")  # type: ignore[misc]
        receiver.wait_taken(len(keys) + 2)
        assert settled(redis_server).dead == 1
    codes = receiver.codes()
    assert [code for code in codes if code[0] == "b"] == keys
    assert {"a-2", "webhook_dead_letters"} < set(codes)
    assert "a-1" not in codes


# -- dead letters ----------------------------------------------------------------------------------------------------


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
        assert receiver.codes() == [*codes[5:], "webhook_dead_letters"]
        with redis_server.client() as redis:
            assert carry_out(redis, request_replay_of_all(NAMES)) == 5
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
            assert carry_out(redis, request_replay(NAMES, [first, second, "none-0-1", first])) == ["none-0-1"]
        wait_until(lambda: state(redis_server).dead == 1, 30, "one is taken", every_s=0.05)
        wait_until(lambda: letters(redis_server)[0].attempts == 10, 30, "the other one is refused again", every_s=0.05)
        assert [letter.id for letter in letters(redis_server)] == [first]
        process.kill()  # with one that is asked for
        refused.remove("1")
        with redis_server.client() as redis:
            assert carry_out(redis, request_replay(NAMES, [first])) == []
        process.start()
        wait_until(lambda: state(redis_server).dead == 0, 30, "none is left", every_s=0.05)
        with redis_server.client() as redis:
            assert redis.llen(NAMES.webhook_replays(state(redis_server).id)) == 0
    ids = [post.headers["webhook-id"] for post in receiver.posts if post.code == "1"]
    assert len(set(ids)) == 1


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


# -- what is not given away ------------------------------------------------------------------------------------------


def test_no_secret_is_logged_or_kept(redis_server: RedisServer) -> None:
    with receiving(answer=refuses("1")) as receiver:
        url = f"http://user:pass-word@127.0.0.1:{receiver.port}/t0ken?key=t0ken"
        with delivering(redis_server, url, WEBHOOK_SECRET=SECRETS[1]) as process:
            wait_until(lambda: state(redis_server).behind == 0, 30, "the group is there", every_s=0.05)
            tell(redis_server, "1", "2")
            receiver.wait_taken(2)
            settled(redis_server)
            redis_server.kill()
            wait_until(lambda: "waiting for Redis" in process.log, 30, "it is noticed")
            redis_server.start()
            log = process.log
        with redis_server.client() as redis:
            kept = str([redis.hgetall(key) for key in redis.scan_iter(_type="hash")])
            kept += str(list(redis.scan_iter())) + str(redis.xrange(NAMES.events))
    post = receiver.posts[0]
    assert post.path == "/t0ken?key=t0ken"
    assert post.headers["authorization"] == "Basic " + base64.b64encode(b"user:pass-word").decode()
    for secret in ("t0ken", "pass-word", SECRETS[1]):
        assert secret not in log
        assert secret not in kept
    assert f"127.0.0.1:{receiver.port}" in log
