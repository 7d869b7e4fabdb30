"""Deadlines for states: told once a stay, hourly, with a dossier; not where a cause was told in its own way."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from browser_agent import dossier
from browser_agent.deadlines import Deadlines
from whatsapp_contract.events import AlertData
from whatsapp_contract.health import Facts, Limits, Verdict
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits()


class Session:
    """A session whose state and time the test sets, and what was told of it."""

    def __init__(self) -> None:
        self.now = START
        self.alerts: list[AlertData] = []
        self.dossiers: list[tuple[str, str]] = []
        self.deadlines = Deadlines(LIMITS, self.facts, self._keep, lambda: "service 1.2.3", self.alerts.append)
        self.enter(SessionState.STARTING)

    def enter(self, state: SessionState, **changes: Any) -> None:
        self.state, self.since, self.changes = state, self.now, changes

    def facts(self) -> Facts:
        times = {"browser_seen_at": self.now, "page_seen_at": self.now, "frame_seen_at": self.now}
        known = {"observed_at": self.now, "state": self.state, "since": self.since, "injected": True, **times}
        return Facts.model_validate({**known, **self.changes})

    async def _keep(self, code: str, fact: str) -> Path | None:
        self.dossiers.append((code, fact))
        return Path("/dossier.json")

    async def after(self, seconds: float) -> list[str]:
        """What was told by then, since the last time."""
        before = len(self.alerts)
        self.now += timedelta(seconds=seconds)
        await self.deadlines.look(self.facts())
        return [alert.code for alert in self.alerts[before:]]


@pytest.mark.parametrize(
    ("state", "deadline_s"),
    [
        (SessionState.STARTING, LIMITS.starting_s),
        (SessionState.SYNCING, LIMITS.syncing_s),
        (SessionState.DISCONNECTED, LIMITS.disconnected_s),
        (SessionState.CONFLICT, LIMITS.conflict_s),
    ],
)
async def test_a_state_past_its_deadline_is_told_once_and_then_hourly(state: SessionState, deadline_s: float) -> None:
    session = Session()
    session.enter(state)
    assert await session.after(deadline_s) == []
    assert await session.after(1) == [f"stuck_in_{state}"]
    assert session.alerts[0].dossier == "/dossier.json"
    assert session.alerts[0].message.endswith("(service 1.2.3)")
    assert session.dossiers[0][1] in session.alerts[0].message
    assert await session.after(3599) == []
    assert await session.after(1) == [f"stuck_in_{state}"]


async def test_a_page_that_is_loaded_anew_in_vain_is_told_of_hourly_all_the_same() -> None:
    session = Session()
    assert await session.after(200) == ["stuck_in_starting"]
    session.enter(SessionState.STARTING)  # by the ladder
    assert await session.after(200) == []
    session.enter(SessionState.SYNCING)
    assert await session.after(1000) == ["stuck_in_syncing"]
    session.enter(SessionState.READY)
    assert await session.after(1) == []
    session.enter(SessionState.STARTING)
    assert await session.after(200) == ["stuck_in_starting"]


async def test_a_page_that_loads_itself_anew_again_and_again_is_told_of_with_a_dossier() -> None:
    session = Session()
    told: list[str] = []
    for _ in range(70):
        for state in (SessionState.STARTING, SessionState.SYNCING):
            session.enter(state, coming_up_since=START, socket_state="CONNECTED")
            told += await session.after(10)
    assert told == ["stuck_in_starting", "stuck_in_syncing"]
    assert session.alerts[0].message.startswith("Starting for 1210 s: the page loads itself anew again and again.")
    assert session.alerts[0].dossier == "/dossier.json"


async def test_nothing_is_told_of_a_time_in_which_the_agent_did_not_run() -> None:
    session = Session()
    session.enter(SessionState.STARTING, loop_lag_ms=300_000)
    assert await session.after(300) == []
    session.changes = {"timed_since": session.now - timedelta(seconds=10)}
    assert await session.after(20) == []


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (SessionState.READY, {}),
        (SessionState.AWAITING_SCAN, {}),
        (SessionState.LOGGED_OUT, {}),
        (SessionState.STARTING, {"reason": "store_unavailable"}),
        (SessionState.STARTING, {"reason": "wrong_key"}),
        (SessionState.STARTING, {"reason": "outrun"}),
        (SessionState.STARTING, {"held_until": START + timedelta(days=10)}),
    ],
)
async def test_what_has_no_deadline_or_was_told_in_its_own_way_is_not_told(
    state: SessionState, changes: dict[str, Any]
) -> None:
    session = Session()
    session.enter(state, **changes)
    assert await session.after(86_400) == []


async def test_a_clock_that_is_set_back_does_not_silence_it() -> None:
    session = Session()
    assert await session.after(200) == ["stuck_in_starting"]
    session.now -= timedelta(days=2)
    session.enter(SessionState.STARTING)
    assert await session.after(200) == ["stuck_in_starting"]


async def test_a_dossier_is_private_complete_and_the_latest_are_kept(tmp_path: Path) -> None:
    status = Status.model_validate(
        {
            "session_id": "s", "instance": "i", "pid": 7, "epoch": 3, "started_at": START, "heartbeat_at": START,
            "state": "syncing", "since": START, "verdict": Verdict.PAGE_HUNG, "verdict_reason": "stuck_in_syncing",
            "wa_js_version": "4.6.0", "unheard_since": START,
        }
    )  # fmt: skip
    kept = [await dossier.keep(None, status, "stuck_in_syncing", "why", tmp_path) for _ in range(dossier.KEPT + 3)]
    files = sorted((tmp_path / "dossiers").iterdir())
    assert files == kept[3:]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    document = json.loads(files[0].read_text())
    assert (document["code"], document["stuck_fact"], document["console"]) == ("stuck_in_syncing", "why", [])
    assert document["status"]["wa_js_version"] == "4.6.0"
    assert document["status"]["unheard_since"] == "2026-11-23T12:00:00Z"


async def test_a_dossier_that_cannot_be_written_is_no_reason_to_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "dossiers").write_text("in the way")
    status = Status.model_validate(
        {
            "session_id": "s", "instance": "i", "pid": 7, "epoch": 3, "started_at": START, "heartbeat_at": START,
            "state": "syncing", "since": START, "verdict": Verdict.PAGE_HUNG, "verdict_reason": "stuck_in_syncing",
        }
    )  # fmt: skip
    assert await dossier.keep(None, status, "stuck_in_syncing", "why", tmp_path) is None
