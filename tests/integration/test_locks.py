"""Locks that last as long as their holder lives, on a real Redis."""

import time

from tests.harness.redis_server import RedisServer
from workers.locks import one_at_a_time


def test_a_lock_outlives_its_time_while_its_holder_lives_and_goes_with_it(redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        with one_at_a_time(redis, "a-lock", kept_s=3, renewed_every_s=0.1) as lock:
            assert lock is not None
            until = time.monotonic() + 4.5
            while time.monotonic() < until:
                with one_at_a_time(redis, "a-lock") as other:
                    assert other is None
                time.sleep(0.01)
            assert lock.owned()
        assert not redis.exists("a-lock")


def test_a_holder_that_is_gone_keeps_the_others_out_for_eight_seconds_at_most(redis_server: RedisServer) -> None:
    """However often it was renewed before: what it has left when the renewing ends is all it keeps."""
    with redis_server.client() as redis:
        with one_at_a_time(redis, "a-lock", renewed_every_s=0.05):
            left_ms = []
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                left_ms.append(redis.pttl("a-lock"))
        assert 7000 < max(left_ms) <= 8000


def test_whoever_lost_a_lock_does_not_take_it_from_the_next(redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        with one_at_a_time(redis, "a-lock", kept_s=5, renewed_every_s=0.05) as lock:
            assert lock is not None
            redis.set("a-lock", "another's", px=5000)
            assert not lock.owned()
        assert redis.get("a-lock") == "another's"
