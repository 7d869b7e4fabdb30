"""The status hash there and back."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from whatsapp_contract.health import Verdict
from whatsapp_contract.states import SessionState
from whatsapp_contract.status import Status

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
optional_times = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def status(**changes: object) -> Status:
    known: dict[str, object] = {
        "session_id": "s",
        "instance": "i",
        "pid": 7,
        "epoch": 3,
        "started_at": NOW,
        "heartbeat_at": NOW,
        "state": SessionState.READY,
        "since": NOW,
        "verdict": Verdict.HEALTHY,
        "verdict_reason": "ready",
    }
    return Status.model_validate({**known, **changes})


@given(
    state=st.sampled_from(SessionState),
    seen_at=optional_times,
    took_ms=st.none() | st.floats(0, 1e6),
    authenticated=st.none() | st.booleans(),
    reason=st.none() | st.text(min_size=1),
)
def test_a_status_survives_the_hash(
    state: SessionState,
    seen_at: datetime | None,
    took_ms: float | None,
    authenticated: bool | None,
    reason: str | None,
) -> None:
    written = status(
        state=state, page_seen_at=seen_at, page_took_ms=took_ms, authenticated=authenticated, reason=reason
    )
    fields = written.to_hash()
    assert all(isinstance(value, str) for value in fields.values())
    assert Status.from_hash(fields) == written


def test_no_hash_is_no_status() -> None:
    assert Status.from_hash({}) is None


def test_the_facts_are_as_of_the_heartbeat() -> None:
    facts = status(page_seen_at=NOW).facts
    assert (facts.observed_at, facts.page_seen_at, facts.state) == (NOW, NOW, SessionState.READY)


def test_what_it_is_made_of_is_said_in_words() -> None:
    known = status(service_version="0.1.0", browser_version="156.0", wa_js_version="4.6.0")
    assert known.versions == "service 0.1.0, browser 156.0, wa-js 4.6.0, WhatsApp Web not known"


def test_a_dead_writer_grows_old() -> None:
    assert status().age_s(NOW + timedelta(seconds=61)) == 61
