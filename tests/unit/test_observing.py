"""What an observation dates, where the agent's facts are of its last heartbeat."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fakeredis

from whatsapp_contract.errors import PageTimeout
from whatsapp_contract.health import Facts, Limits, Verdict
from whatsapp_contract.names import InstanceNames, SessionNames
from whatsapp_contract.states import SessionState
from workers.observing import Observer
from workers.process_control import ProcessControl

HEARTBEAT_AGO_S, ANSWERED_BEFORE_S = 4.0, 1.0


def no_answer(**_: Any) -> None:
    raise PageTimeout("no answer")


def test_what_a_heartbeat_told_is_as_old_as_the_heartbeat_and_more(tmp_path: Path) -> None:
    before = time.monotonic()
    gathered = datetime.now(UTC) - timedelta(seconds=HEARTBEAT_AGO_S)
    after = time.monotonic()
    facts = Facts(
        observed_at=gathered,
        state=SessionState.READY,
        since=gathered - timedelta(hours=1),
        page_seen_at=gathered - timedelta(seconds=ANSWERED_BEFORE_S),
    )
    client = SimpleNamespace(
        check=no_answer,
        status=lambda: SimpleNamespace(facts=facts),
        redis=fakeredis.FakeRedis(decode_responses=True),
        names=SessionNames("s1"),
    )
    control = ProcessControl(tmp_path / "none.sock")
    observer = Observer(cast(Any, client), InstanceNames("s1", "i1"), control, Limits(), time.monotonic, 600.0)
    seen = observer.look()
    assert seen is not None
    assert (seen.verdict, seen.reason) == (Verdict.PAGE_HUNG, "page_timeout")
    assert seen.page_seen is not None
    answered_ago_s = HEARTBEAT_AGO_S + ANSWERED_BEFORE_S
    assert before - answered_ago_s - 0.5 < seen.page_seen < after - answered_ago_s + 0.5
