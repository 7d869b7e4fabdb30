"""False alarms: a while in which nothing is wrong, a reset on the same second as a check, blips of Redis.

The service of these tests runs beside other tests, which make the machine busy. `make soak` makes an hour of the three
minutes.
"""

import os
import time

import pytest

from tests.harness.quiet import Quiet
from tests.harness.waiting import wait_until

QUIET_S = int(os.environ.get("QUIET_S") or 180)


@pytest.mark.timeout(QUIET_S + 240)
def test_a_quiet_while_restarts_nothing(quiet: Quiet) -> None:
    time.sleep(max(0.0, quiet.since + QUIET_S - time.time()))
    quiet.nothing_was_restarted()
    elapsed_s = time.time() - quiet.since
    resets = quiet.service.events("reset", after=quiet.after)
    assert len(resets) >= elapsed_s // 30 - 1
    disconnected = quiet.service.events("disconnected", after=quiet.after)
    lost = [event for event in disconnected if event.data["reason"] != "reset"]
    # Once in an hour the link dropped two milliseconds after a reset, for a reason that was not found, and was back by
    # itself a second later: no more than that, and how each of the stand-in's sessions ended is told with it.
    told = [(event.occurred_at, event.data) for event in lost], quiet.whatsapp.connections()["ends"]
    assert [event.data["reason"] for event in lost] in ([], ["link_dropped"]), told
    # A reset may be under way.
    wait_until(lambda: quiet.service.status().verdict == "healthy", 20, "healthy")


@pytest.mark.parametrize("away_s", [1, 8])
def test_a_redis_that_is_away_for_a_while_restarts_nothing(quiet: Quiet, away_s: int) -> None:
    quiet.redis.stop()
    key = quiet.whatsapp.deliver_text(f"while Redis was away for {away_s} s")
    time.sleep(away_s)
    quiet.redis.start()
    wait_until(lambda: quiet.service.status().verdict == "healthy", 60, "healthy")
    quiet.service.wait_event("message", where=lambda data: data["key"] == key)
    time.sleep(12)  # Redis is taken for settled, and some checks come
    quiet.nothing_was_restarted()


def test_a_redis_that_is_frozen_for_a_while_restarts_nothing(quiet: Quiet) -> None:
    quiet.redis.freeze()
    time.sleep(9)
    quiet.redis.thaw()
    wait_until(lambda: quiet.service.status().verdict == "healthy", 60, "healthy")
    key = quiet.whatsapp.deliver_text("after the frost")
    quiet.service.wait_event("message", where=lambda data: data["key"] == key)
    time.sleep(8)
    quiet.nothing_was_restarted()
