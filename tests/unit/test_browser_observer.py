"""What a new browser begins anew, and what goes on over it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from browser_agent.browser_observer import BrowserObserver
from tests.harness.flow import Deaf, flow_of
from whatsapp_contract.health import RETRIED_BY_AGENT, SITE_UNREACHABLE
from whatsapp_contract.states import SessionState


class Neighbour(Deaf):
    """Of the agent's parts those that are waited for before a browser is started."""

    async def prepare(self, *_version: str) -> None:
        """Everything is in place."""

    async def load(self) -> None:
        """There is nothing."""


class Agent:
    """What the observer knows of one: a flow, beside neighbours that do nothing."""

    def __init__(self) -> None:
        self.flow = flow_of()
        self.session = self.follow = self.watermarks = self.builds = Neighbour()
        self.sends = SimpleNamespace(standing=Neighbour())

    @property
    def state(self) -> SessionState:
        return self.flow.state


@pytest.fixture
async def agent() -> Agent:
    return Agent()


async def next_browser(agent: Agent, ended_by: str) -> None:
    """As the keeper tells of it: the former one has ended, the next is about to be started."""
    observer = BrowserObserver(cast(Any, agent))
    observer.on_starting(ended_by)
    await observer.prepare("140.0.0.0")


async def test_an_outage_of_the_site_keeps_its_beginning_over_however_many_browsers(agent: Agent) -> None:
    flow = agent.flow
    BrowserObserver(cast(Any, agent)).on_starting(SITE_UNREACHABLE)
    begun = flow.since
    for _ in range(3):
        await next_browser(agent, SITE_UNREACHABLE)
        assert (flow.state, flow.reason, flow.since) == (SessionState.STARTING, SITE_UNREACHABLE, begun)


@pytest.mark.parametrize("reason", ["browser_gone", "restart_browser", *sorted(RETRIED_BY_AGENT - {SITE_UNREACHABLE})])
async def test_what_else_ended_a_browser_is_over_when_the_next_one_is_prepared(agent: Agent, reason: str) -> None:
    flow = agent.flow
    begun = flow.since
    await next_browser(agent, reason)
    assert (flow.state, flow.reason) == (SessionState.STARTING, None)
    assert begun < flow.since == flow.coming_up_since
