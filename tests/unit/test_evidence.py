"""Facts as they are gathered: whose time is reckoned, and whose is not."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from browser_agent.evidence import Evidence
from browser_agent.loop_lag import EVERY_S
from whatsapp_contract.states import SessionState

NO_SITE = {"answered_at": None, "silent_since": None, "offline_since": None}


async def test_time_in_which_the_agent_did_not_run_is_in_no_deadline() -> None:
    keeper = cast(Any, SimpleNamespace(page=None))
    memory = cast(Any, SimpleNamespace(bytes=None, seen_at=None))
    evidence = Evidence(keeper, memory, cast(Any, SimpleNamespace(**NO_SITE)), 45.0)
    looking = asyncio.create_task(evidence.lag.run())
    loop = asyncio.get_running_loop()
    began = loop.time()
    since = began - 5
    await asyncio.sleep(0)
    looked = loop.time()
    time.sleep(1.5)  # noqa: ASYNC251  # it blocks the loop, as it should
    asked = loop.time()
    facts = evidence.facts(SessionState.STARTING, since, None, None, coming_up_since=since - 10)
    blocked_s = loop.time() - began  # a busy machine may have blocked it for longer
    looking.cancel()
    assert facts.timed_since is not None
    assert facts.coming_up_since is not None
    lost_s = (facts.timed_since - facts.since).total_seconds()
    assert asked - looked - EVERY_S - 0.05 <= lost_s <= blocked_s - EVERY_S + 0.05
    assert (facts.timed_since - facts.coming_up_since).total_seconds() == pytest.approx(10, abs=0.1)
