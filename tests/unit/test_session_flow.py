"""The session's flow: whose try it is that a session comes up in, and how long it goes on."""

import pytest

from browser_agent.whatsapp.models import DocumentStarted
from tests.harness.flow import flow_of
from whatsapp_contract.states import SessionState

STARTING, SYNCING, READY = SessionState.STARTING, SessionState.SYNCING, SessionState.READY
LOADED = DocumentStarted(kind="document", path="/")


class Session:
    """A flow whose operation the test sets, beside neighbours that do nothing."""

    def __init__(self) -> None:
        self.operation: str | None = None
        self.flow = flow_of(lambda: self.operation)

    def times(self) -> tuple[float, float | None]:
        return self.flow.since, self.flow.coming_up_since


@pytest.fixture
async def session() -> Session:
    return Session()


async def test_a_start_that_the_page_begins_anew_has_no_more_time_for_it(session: Session) -> None:
    flow = session.flow
    flow.enter(STARTING, "browser_gone")
    begun = session.times()
    for _ in range(3):
        flow.on_page_event(LOADED)
    assert session.times() == begun


async def test_a_try_goes_on_over_all_states_that_a_page_loading_itself_anew_goes_through(session: Session) -> None:
    flow = session.flow
    flow.enter(STARTING, "browser_gone")
    begun, _ = session.times()
    for _ in range(3):
        flow.enter(SYNCING)
        flow.on_page_event(LOADED)
        assert flow.state is STARTING
        assert flow.since > begun
        assert flow.coming_up_since == begun


@pytest.mark.parametrize("again", [STARTING, SYNCING])
async def test_an_outage_in_the_midst_of_a_try_is_none_of_its_time(session: Session, again: SessionState) -> None:
    flow = session.flow
    flow.enter(STARTING, "browser_gone")
    begun, _ = session.times()
    flow.enter(SYNCING)
    flow.enter(SessionState.DISCONNECTED, "link_dropped")
    lost_at = flow.since
    flow.enter(SessionState.DISCONNECTED, "offline")  # still
    if again is STARTING:
        flow.on_page_event(LOADED)
    else:
        flow.enter(SYNCING)
    assert flow.state is again
    assert flow.coming_up_since is not None
    assert flow.coming_up_since - begun == pytest.approx(flow.since - lost_at, abs=1e-9)
    assert flow.since > lost_at


@pytest.mark.parametrize("state", [STARTING, SYNCING])
async def test_another_try_of_ours_has_its_own_time(session: Session, state: SessionState) -> None:
    flow = session.flow
    flow.enter(state)
    begun, _ = session.times()
    session.operation = "reload"
    flow.on_page_event(LOADED)
    assert begun < flow.since == flow.coming_up_since
    reloaded, session.operation = flow.since, None
    flow.enter(STARTING, "restart_browser")
    assert reloaded < flow.since == flow.coming_up_since


async def test_a_page_loaded_anew_for_want_of_a_code_has_the_time_of_a_start(session: Session) -> None:
    flow = session.flow
    flow.enter(SessionState.SYNCING)
    flow.enter(SessionState.LOGGED_OUT, "logged_out")
    flow.on_page_event(LOADED)  # its own, at once
    assert flow.state is SessionState.LOGGED_OUT
    session.operation = "reload"
    flow.on_page_event(LOADED)
    assert (flow.state, flow.since) == (STARTING, flow.coming_up_since)


async def test_a_site_that_can_be_loaded_at_last_gives_its_page_time(session: Session) -> None:
    flow = session.flow
    flow.enter(STARTING, "site_unreachable")
    begun, _ = session.times()
    flow.on_page_event(LOADED)
    assert flow.reason is None
    assert begun < flow.since == flow.coming_up_since


@pytest.mark.parametrize("state", [READY, SessionState.AWAITING_SCAN, SessionState.CONFLICT, SessionState.BLOCKED])
async def test_what_is_there_or_waits_for_a_person_comes_up_no_more(session: Session, state: SessionState) -> None:
    flow = session.flow
    flow.enter(state)
    assert flow.coming_up_since is None
    flow.on_page_event(LOADED)
    assert flow.since == flow.coming_up_since


async def test_a_link_that_is_lost_is_not_coming_up(session: Session) -> None:
    session.flow.enter(READY)
    session.flow.enter(SessionState.DISCONNECTED, "link_dropped")
    assert session.flow.coming_up_since is None
