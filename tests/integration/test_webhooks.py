"""Webhooks: the process that delivers, on a real Redis, to a real server."""

import base64
import hashlib
import hmac
import threading
import time
from typing import Any

import pytest

from tests.harness.ports import free_port
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
from tests.harness.webhook_receiver import Post, Receiver, receiving
from tests.harness.webhooks_process import QUICK, delivering

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain-characters-here")

# -- what is posted --------------------------------------------------------------------------------------------------


def test_an_event_is_posted_as_it_is_told_and_signed(redis_server: RedisServer) -> None:
    with receiving() as receiver, delivering(redis_server, receiver.url, WEBHOOK_SECRET=",".join(SECRETS)):
        wait_for_groups(redis_server, receiver)
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
        wait_for_groups(redis_server, receiver)
        tell(redis_server, "no", event_type="auth_failure")
        tell(redis_server, "1")
        tell(redis_server, "no", event_type="auth_failure")
        tell(redis_server, "2")
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
            settled(redis_server)
            assert process.stop() == 0
            tell(redis_server, "2")
            process.start()
            receiver.wait_taken(2)
        assert receiver.codes() == ["1", "2"]


def test_a_new_address_hears_what_was_told_since_the_service_was_started(redis_server: RedisServer) -> None:
    """The process comes seconds after the first events."""
    (entry,) = tell(redis_server, "before")
    started_at = f"{int(entry.partition('-')[0]) / 1000:.3f}"
    tell(redis_server, "1")
    with receiving() as receiver:
        with delivering(redis_server, receiver.url, SERVICE_STARTED_AT=started_at):
            receiver.wait_taken(1)
            settled(redis_server)
        assert receiver.codes() == ["1"]
    with receiving() as receiver:  # another address, and a clock that is ahead of Redis'
        with delivering(redis_server, receiver.url, SERVICE_STARTED_AT=str(time.time() + 1000)):
            wait_for_groups(redis_server, receiver)
            tell(redis_server, "2")
            receiver.wait_taken(1)
        assert receiver.codes() == ["2"]


def test_each_address_gets_everything(redis_server: RedisServer) -> None:
    with receiving() as one, receiving() as other, delivering(redis_server, one.url, other.url):
        wait_for_groups(redis_server, one, other)
        tell(redis_server, "1", "2")
        one.wait_taken(2)
        other.wait_taken(2)
    assert one.codes() == other.codes() == ["1", "2"]


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
            settled(redis_server)  # they have their answers
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
    assert took_s < 6
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


def tell_others_until_one_is_given_up(server: RedisServer, receiver: Receiver) -> list[str]:
    """Messages of chat b, each of which goes on. A try counts against an event only where another was taken since the
    last."""
    told: list[str] = []
    until = time.monotonic() + 60
    while not letters(server):
        assert time.monotonic() < until, "none is given up"
        told.append(f"b-{len(told)}")
        tell_in_chats(server, told[-1])
        wait_until(lambda: told[-1] in receiver.codes(), 30, "the others go on")
    return told


def test_one_event_that_gets_no_answer_holds_up_its_chat_alone_and_not_for_ever(redis_server: RedisServer) -> None:
    """As one that kills whoever handles it, behind a proxy that then answers 502."""
    constants = (*QUICK, "outcome.MOST_WAIT_S=0.05")
    with (
        receiving(answer=refuses("a-1", status=502)) as receiver,
        delivering(redis_server, receiver.url, constants=constants),
    ):
        wait_for_groups(redis_server, receiver)
        tell_in_chats(redis_server, "a-1", "a-2")
        others = tell_others_until_one_is_given_up(redis_server, receiver)
        receiver.wait_taken(len(others) + 2)
        assert settled(redis_server).dead == 1
    codes = receiver.codes()
    assert [code for code in codes if code[0] == "b"] == others
    assert {"a-2", "webhook_dead_letters"} < set(codes)
    assert "a-1" not in codes


def test_one_event_that_gets_no_answer_and_many_behind_it_do_not_hold_up_other_chats(
    redis_server: RedisServer,
) -> None:
    """More of its chat than are held at once: what is behind those is read all the same, and in its order later."""
    poisoned = [f"a-{number}" for number in range(260)]
    constants = (*QUICK, "outcome.MOST_WAIT_S=0.05", "reader.SLICE_S=0.2")
    with (
        receiving(answer=refuses("a-0", status=502)) as receiver,
        delivering(redis_server, receiver.url, constants=constants),
    ):
        wait_for_groups(redis_server, receiver)
        tell_in_chats(redis_server, *poisoned)
        wait_until(lambda: len(receiver.posts) > 3, 30, "it is tried")
        others = tell_others_until_one_is_given_up(redis_server, receiver)
        receiver.wait_taken(len(poisoned) + len(others))  # but for one, and with the alert
        assert settled(redis_server).dead == 1
    codes = receiver.codes()
    assert [code for code in codes if code[:2] == "a-"] == poisoned[1:]
    assert [code for code in codes if code[:2] == "b-"] == others


def test_where_nothing_else_comes_the_alerts_show_that_it_is_the_event(redis_server: RedisServer) -> None:
    constants = (*QUICK, "outcome.MOST_WAIT_S=0.02", "scribe.UNREACHABLE_AFTER_S=0.05", "outcome.LONELY_TRIES=5")
    with (
        receiving(answer=refuses("a-0", status=502)) as receiver,
        delivering(redis_server, receiver.url, constants=constants),
    ):
        wait_for_groups(redis_server, receiver)
        tell_in_chats(redis_server, "a-0", "a-1")
        wait_until(lambda: "a-1" in receiver.codes(), 30, "its chat goes on")
        assert settled(redis_server).dead == 1
    assert "webhook_unreachable" in receiver.codes()


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
