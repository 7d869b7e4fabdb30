"""A program that cannot be kept running, under a real supervisord with the service's hooks."""

from pathlib import Path

import pytest

from tests.harness.supervisor import SLEEPER, Supervisor
from tests.harness.waiting import wait_until

FAILS_UNTIL = """command=sh -c 'test -e {works} && exec sleep 600'
startsecs=1
startretries=0
stopwaitsecs=2
autorestart=true"""


@pytest.fixture
def works(tmp_path: Path) -> Path:
    """What the program that fails waits for."""
    return tmp_path / "works"


def test_without_what_posts_to_webhooks_the_service_goes_on_and_it_is_tried_again(tmp_path: Path, works: Path) -> None:
    programs = {"worker": SLEEPER, "webhooks": FAILS_UNTIL.format(works=works)}
    with Supervisor(tmp_path, programs, hooks=True) as supervisor:
        told = "CRIT webhooks cannot be kept running"
        wait_until(lambda: supervisor.log().count(told) >= 2, 60, "it is tried again", every_s=0.1)
        assert supervisor.control.state("worker").name == "RUNNING"
        works.touch()
        wait_until(lambda: supervisor.control.state("webhooks").name == "RUNNING", 60, "it runs", every_s=0.1)


def test_without_another_program_the_service_ends(tmp_path: Path, works: Path) -> None:
    programs = {"worker": FAILS_UNTIL.format(works=works), "webhooks": SLEEPER}
    with Supervisor(tmp_path, programs, hooks=True) as supervisor:
        supervisor.process.wait(60)
        assert "CRIT worker cannot be kept running: the service ends" in supervisor.log()
